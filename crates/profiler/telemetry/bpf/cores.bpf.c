/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * How long tasks waited for each CPU: from the moment at which a task could have run to the one at
 * which it did, summed at the CPU that ran it. It holds the time that a group's CPU limit kept the
 * task from running, as the kernel's own run delay does.
 */
#include "kernel.h"

#define MOST_CPUS 1024
#define MOST_WAITING 65536

struct task_struct { int pid; } RELOCATED;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_WAITING);
	__type(key, int);
	__type(value, __u64);
} since SEC(".maps");

struct waited { __u64 nanoseconds, switches; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOST_CPUS);
	__type(key, __u32);
	__type(value, struct waited);
} cores SEC(".maps");

static inline void begins(struct task_struct *task)
{
	int pid = task->pid;
	__u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&since, &pid, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int wakeup(__u64 *arguments)
{
	begins((struct task_struct *)arguments[0]);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int wakeup_new(__u64 *arguments)
{
	begins((struct task_struct *)arguments[0]);
	return 0;
}

/* Arguments: preempted, previous task, next task, state of the previous one (0: it could go on). */
SEC("tp_btf/sched_switch")
int switched(__u64 *arguments)
{
	struct task_struct *next = (struct task_struct *)arguments[2];
	int pid = next->pid;
	__u32 core = bpf_get_smp_processor_id();
	struct waited *waited = bpf_map_lookup_elem(&cores, &core);

	if (arguments[0] || (__u32)arguments[3] == 0)
		begins((struct task_struct *)arguments[1]);
	if (!waited)
		return 0;
	waited->switches++;
	__u64 *started = bpf_map_lookup_elem(&since, &pid);
	if (!started)
		return 0;
	__u64 now = bpf_ktime_get_ns();
	if (now > *started)
		waited->nanoseconds += now - *started;
	bpf_map_delete_elem(&since, &pid);
	return 0;
}
