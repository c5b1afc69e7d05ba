/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the readers need of the kernel: helpers by number, and only the members that are used of its
 * types. Offsets are relocated at load time against the running kernel's own type information.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define RELOCATED __attribute__((preserve_access_index))
#define FIELD_OFFSET(type, member) __builtin_preserve_field_info(((type *)0)->member, 0)

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_LRU_HASH = 9 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_F_MMAPABLE = 1 << 10 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static __u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

char LICENSE[] SEC("license") = "GPL";
