/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Bytes that were asked of each range of each disk, by the v2 group of the task that asked: counted where
 * they enter the block layer, since requests are often issued by the kernel's own threads. What is written
 * back later is asked by such threads from the start, and belongs to the root group.
 *
 * Only devices in `shifts` count; the value there says how many sectors a range has, as a power of two.
 * When there is no room, what was used least recently goes.
 */
#include "kernel.h"

#define MOST_PARTS 8192
#define MOST_DISKS 64
#define MINOR_BITS 20
#define OPERATION 0xff
#define WRITE 1

struct gendisk { int major, first_minor; } RELOCATED;
struct block_device { struct gendisk *bd_disk; } RELOCATED;
struct bvec_iter { __u64 bi_sector; __u32 bi_size; } RELOCATED;
struct bio {
	struct block_device *bi_bdev;
	__u32 bi_opf;
	struct bvec_iter bi_iter;
} RELOCATED;

struct part { __u64 group; __u32 device, range; };
struct asked { __u64 read, written, requests; };

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MOST_PARTS);
	__type(key, struct part);
	__type(value, struct asked);
} parts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_DISKS);
	__type(key, __u32);
	__type(value, __u32);
} shifts SEC(".maps");

/* Argument: what is handed to the block layer, its sector counted from the start of the whole device. */
SEC("tp_btf/block_bio_queue")
int queued(__u64 *arguments)
{
	struct bio *bio = (struct bio *)arguments[0];
	struct gendisk *disk = bio->bi_bdev->bd_disk;
	struct part part = {};
	struct asked none = {};
	__u32 bytes = bio->bi_iter.bi_size;

	if (!disk || !bytes)
		return 0;
	part.device = (__u32)disk->major << MINOR_BITS | (__u32)disk->first_minor;
	__u32 *shift = bpf_map_lookup_elem(&shifts, &part.device);
	if (!shift)
		return 0;
	part.range = bio->bi_iter.bi_sector >> (*shift & 63);
	part.group = bpf_get_current_cgroup_id();
	struct asked *asked = bpf_map_lookup_elem(&parts, &part);
	if (!asked) {
		bpf_map_update_elem(&parts, &part, &none, BPF_NOEXIST);
		asked = bpf_map_lookup_elem(&parts, &part);
		if (!asked)
			return 0;
	}
	if ((bio->bi_opf & OPERATION) == WRITE)
		__sync_fetch_and_add(&asked->written, bytes);
	else if ((bio->bi_opf & OPERATION) == 0)
		__sync_fetch_and_add(&asked->read, bytes);
	else
		return 0; /* flush, discard: no bytes move */
	__sync_fetch_and_add(&asked->requests, 1);
	return 0;
}
