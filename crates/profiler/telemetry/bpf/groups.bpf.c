/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * One pass over all groups of the v2 tree, into an array that user space has mapped.
 *
 * A cgroup iterator's own buffer is 32 KiB and cannot be continued, so records go to the map: entry 0
 * counts them, group i is entry i + 1, and what does not fit is counted, not dropped in silence. CPU
 * times come from the tree-wide statistics, flushed once at the first group. Waiting comes from the
 * group's totals, which the kernel itself weights over CPUs and brings up to date every 2 seconds; the
 * per-CPU parts are 32-bit nanoseconds, which wrap every 4.3 seconds, and are not used.
 */
#include "kernel.h"

#define MOST_GROUPS 16384
#define STATES 6

struct task_cputime { __u64 stime, utime, sum_exec_runtime; } RELOCATED;
struct cgroup_base_stat { struct task_cputime cputime; } RELOCATED;
struct kernfs_node { __u64 id; } RELOCATED;
struct psi_group { __u64 total[12]; } RELOCATED;
struct cgroup_subsys_state { int id; } RELOCATED;
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_base_stat bstat;
	struct psi_group *psi;
} RELOCATED;
struct bpf_iter_meta { __u64 seq_num; } RELOCATED;
struct bpf_iter__cgroup { struct bpf_iter_meta *meta; struct cgroup *cgroup; } RELOCATED;

/* Two names of the same thing: since 6.16, and before. A program that calls the absent one does not load. */
extern void css_rstat_flush(struct cgroup_subsys_state *css) __ksym __weak;
extern void cgroup_rstat_flush(struct cgroup *group) __ksym __weak;

/* Waiting: io some, io full, memory some, memory full, cpu some, cpu full. */
struct record { __u64 id, usage_ns, user_ns, system_ns, waiting_ns[STATES]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MOST_GROUPS + 1);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

static inline int record_group(struct bpf_iter__cgroup *context, struct cgroup *group)
{
	__u32 first = 0;
	struct record *header = bpf_map_lookup_elem(&records, &first);

	if (!header)
		return 0;
	if (context->meta->seq_num == 0) {
		header->id = 0;
		header->usage_ns = 0;
	}
	__u32 place = header->id + 1;
	struct record *record = bpf_map_lookup_elem(&records, &place);
	if (!record) {
		header->usage_ns++; /* did not fit */
		return 0;
	}
	header->id = place;
	record->id = group->kn->id;
	record->usage_ns = group->bstat.cputime.sum_exec_runtime;
	record->user_ns = group->bstat.cputime.utime;
	record->system_ns = group->bstat.cputime.stime;
	struct psi_group *psi = group->psi;
	/* The array has one or two dimensions in the type information, so its start is all that is asked for. */
	if (!psi || bpf_probe_read_kernel(record->waiting_ns, sizeof(record->waiting_ns),
					  (void *)psi + FIELD_OFFSET(struct psi_group, total)))
		__builtin_memset(record->waiting_ns, 0, sizeof(record->waiting_ns));
	return 0;
}

SEC("iter.s/cgroup")
int read_groups(struct bpf_iter__cgroup *context)
{
	struct cgroup *group = context->cgroup;

	if (!group)
		return 0;
	if (context->meta->seq_num == 0)
		css_rstat_flush(&group->self);
	return record_group(context, group);
}

SEC("iter.s/cgroup")
int read_groups_before_6_16(struct bpf_iter__cgroup *context)
{
	struct cgroup *group = context->cgroup;

	if (!group)
		return 0;
	if (context->meta->seq_num == 0)
		cgroup_rstat_flush(group);
	return record_group(context, group);
}
