// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=0,2 cpus=4 keys=13,0 timeout=120 */
/*
 * Does who reads events get what programs tell: by perf events, with as much of the packet as
 * they say, and by ring buffers? Of every type, and of each CPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "build.h"

#define TOLD 24		/* bytes of its own that a program tells */
#define PACKET 120
#define MOST 64

static int level;

struct event {
	int cpu;
	u32 size;
	u8 data[256];
};

static struct event events[MOST];
static int n_events;

static void take(int cpu, const void *data, u32 size)
{
	struct event *e = &events[n_events];

	if (n_events == MOST)
		bail("too many events");
	n_events++;
	e->cpu = cpu;
	e->size = size;
	memcpy(e->data, data, size < sizeof(e->data) ? size : sizeof(e->data));
}

static void from_perf(void *ctx, int cpu, void *data, __u32 size)
{
	take(cpu, data, size);
}

static int from_ring(void *ctx, void *data, size_t size)
{
	take(0, data, size);
	return 0;
}

static u8 in[PACKET];

static void run_on(int prog, int cpu)
{
	struct run run = { .data_in = in, .data_in_size = sizeof(in) };

	pin_to_cpu(cpu);
	if (prog_run(prog, &run))
		bail("run: %s", strerror(errno));
}

/* What is told: three words, the last of which is the CPU's number */
static void told(int cpu, u8 *to)
{
	u64 words[3] = { 0x1122334455667788, 0x99aabbccddeeff00, cpu };

	memcpy(to, words, TOLD);
}

static void tell(void)
{
	E(MOV_REG(R6, R1), LD_IMM64(R1, 0x1122334455667788), STX(BPF_DW, R10, R1, -24),
	  LD_IMM64(R1, 0x99aabbccddeeff00), STX(BPF_DW, R10, R1, -16), CALL(get_smp_processor_id),
	  STX(BPF_DW, R10, R0, -8));
}

/* With none of the packet, some, and all of it; more than there is is an error. */
static void perf_events(const struct prog_type *t)
{
	int map = map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4), cpu, prog, good = 0, i;
	/* a filter's packet has no Ethernet header, nor has a cgroup's */
	int skip = t == &socket_filter || t == &cgroup_skb ? 14 : 0, all = PACKET - skip;
	int with[] = { 0, 1, 40, all, all + 1 };
	struct perf_buffer *pb = perf_buffer__new(map, 8, from_perf, NULL, NULL, NULL);

	if (!pb)
		bail("perf buffer: %s", strerror(errno));
	cnt = 0;
	tell();
	for (i = 0; i < (int)ARRAY_SIZE(with); i++)
		E(MOV_REG(R1, R6), LD_MAP_FD(R2, map),
		  LD_IMM64(R3, (u64)with[i] << 32 | 0xffffffff), MOV_REG(R4, R10),
		  ALU64_IMM(BPF_ADD, R4, -24), MOV_IMM(R5, TOLD), CALL(perf_event_output));
	E(MOV_IMM(R0, t->pass), EXIT());
	prog = must_load(t, "tells", level);
	n_events = 0;
	for (cpu = 0; cpu < 4; cpu++)
		run_on(prog, cpu);
	perf_buffer__consume(pb);
	for (i = 0; i < n_events; i++) {
		u8 want[TOLD];
		int k = i % 4;

		told(events[i].cpu, want);
		if (events[i].cpu == i / 4 && !memcmp(events[i].data, want, TOLD) &&
		    !memcmp(events[i].data + TOLD, in + skip, with[k]) &&
		    /* perf rounds up: the size itself has four bytes */
		    events[i].size == ((TOLD + with[k] + 4 + 7) & ~7U) - 4)
			good++;
		else
			diag("event %d: CPU %d, %u bytes", i, events[i].cpu, events[i].size);
	}
	ok(n_events == 16 && good == 16, "%d: %s: perf events have what was told, and the packet",
	   level, t->name);
	perf_buffer__free(pb);
	close(prog);
	close(map);
}

static void ring_buffer(const struct prog_type *t)
{
	int map = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096), cpu, prog, i, good = 0;
	struct ring_buffer *rb = ring_buffer__new(map, from_ring, NULL, NULL);

	if (!rb)
		bail("ring buffer: %s", strerror(errno));
	cnt = 0;
	tell();
	for (i = 1; i <= 3; i++)
		E(LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -24),
		  MOV_IMM(R3, 8 * i), MOV_IMM(R4, 0), CALL(ringbuf_output));
	E(MOV_IMM(R0, t->pass), EXIT());
	prog = must_load(t, "tells", level);
	n_events = 0;
	for (cpu = 0; cpu < 4; cpu++)
		run_on(prog, cpu);
	ring_buffer__consume(rb);
	for (i = 0; i < n_events; i++) {
		u8 want[TOLD];

		told(i / 3, want);
		good += events[i].size == 8 * (i % 3 + 1U) &&
			!memcmp(events[i].data, want, events[i].size);
	}
	ok(n_events == 12 && good == 12, "%d: %s: a ring buffer has what was told", level, t->name);
	ring_buffer__free(rb);
	close(prog);
	close(map);
}

int main(void)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter, &cgroup_skb,
	};
	size_t i;

	level = moat_level_asked();
	for (i = 0; i < sizeof(in); i++)
		in[i] = i * 5 + 3;
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		perf_events(types[i]);
		ring_buffer(types[i]);
	}
	return finish();
}
