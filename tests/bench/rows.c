// SPDX-License-Identifier: GPL-2.0
/*
 * What is measured, what it may cost today, and what it is to cost one day. A lower limit
 * is a change of one line here.
 */
#include <bpf/bpf.h>
#include "bench.h"
#include "programs.h"

#define PROG(TYPE, INSNS, MAP, VERDICT) \
	.prog = { BPF_PROG_TYPE_##TYPE, INSNS, ARRAY_SIZE(INSNS), BPF_MAP_TYPE_##MAP, VERDICT }
#define RUN(TYPE, ...) \
	.table = PROGRAM, .runs = EBPF, .measure = measure_test_run, PROG(TYPE, __VA_ARGS__)
#define LOOPBACK(RUNS) .table = END_TO_END, .runs = RUNS, .measure = measure_loopback
#define VETH(WHICH, ...) \
	.table = END_TO_END, .runs = EBPF, .measure = measure_veth, .which = VETH_##WHICH, \
	PROG(__VA_ARGS__)
#define CALLS(WHICH) .table = END_TO_END, .measure = measure_system_call, .which = CALL_##WHICH
#define MOST(KEYED, VIEW, PKRS) .keyed = KEYED, .view = VIEW, .pkrs = PKRS
#define GOAL(KEYED, PKRS) .goal = KEYED, .goal_pkrs = PKRS

const struct row rows[] = {
	{ "empty", RUN(SOCKET_FILTER, p_empty, UNSPEC, 0),
	  MOST(73, 96, 2), GOAL(73, 2) },
	{ "two ctx reads", RUN(SOCKET_FILTER, p_two_ctx, UNSPEC, 64 - 14),
	  MOST(83, 118, 2), GOAL(85, 2) },
	{ "one helper", RUN(SOCKET_FILTER, p_helper, UNSPEC, 0),
	  MOST(113, 172, 4), GOAL(113, 4) },
	{ "four helpers", RUN(SOCKET_FILTER, p_four_helpers, UNSPEC, 0),
	  MOST(233, 400, 10), GOAL(233, 10) },
	{ "local call", RUN(SOCKET_FILTER, p_local_call, UNSPEC, 0),
	  MOST(76, 99, 2), GOAL(113, 4) },
	{ "tail call", .table = PROGRAM, .runs = EBPF, .measure = measure_tail_call,
	  PROG(SOCKET_FILTER, p_tail_call, UNSPEC, 0),
	  MOST(179, 233, 4), GOAL(206, 4) },
	{ "array lookup, add", RUN(SOCKET_FILTER, p_add, ARRAY, 0),
	  MOST(73, 96, 2), GOAL(85, 2) },
	{ "per-CPU array lookup, add", RUN(SOCKET_FILTER, p_add, PERCPU_ARRAY, 0),
	  MOST(76, 99, 2), GOAL(90, 2) },
	{ "array update", RUN(SOCKET_FILTER, p_update, ARRAY, 0),
	  MOST(719, 778, 4) },
	{ "hash lookup, add", RUN(SOCKET_FILTER, p_add, HASH, 0),
	  MOST(148, 207, 4), GOAL(160, 4) },
	{ "hash update", RUN(SOCKET_FILTER, p_update, HASH, 0),
	  MOST(138, 197, 4), GOAL(200, 4) },
	{ "LRU hash lookup, update", RUN(SOCKET_FILTER, p_lookup_update, LRU_HASH, 0),
	  MOST(212, 307, 6), GOAL(240, 6) },
	{ "on-demand hash lookup, add", RUN(SOCKET_FILTER, p_add, HASH, 0), .prog.on_demand = true,
	  MOST(148, 207, 4) },
	{ "on-demand hash update", RUN(SOCKET_FILTER, p_update, HASH, 0), .prog.on_demand = true,
	  MOST(138, 197, 4) },
	{ "LPM trie lookup, add", RUN(SOCKET_FILTER, p_route, LPM_TRIE, 0),
	  MOST(148, 207, 4) },
	/* How often its worker comes between, nobody says: no limit. */
	{ "LPM trie update", RUN(SOCKET_FILTER, p_route_update, LPM_TRIE, 0) },
	{ "ring buffer record, 64 bytes", RUN(SOCKET_FILTER, p_record, RINGBUF, 1),
	  MOST(212, 307, 6), GOAL(213, 6) },
	{ "a callback of bpf_loop()", RUN(SOCKET_FILTER, p_loop, UNSPEC, 0),
	  MOST(84, 119, 2) },
	{ "eleven callbacks of it", RUN(SOCKET_FILTER, p_loops, UNSPEC, 0),
	  MOST(44, 79, 2) },
	{ "a callback by a helper", RUN(SOCKET_FILTER, p_gate, UNSPEC, 0) },
	{ "eleven callbacks by it", RUN(SOCKET_FILTER, p_gates, UNSPEC, 0) },
	{ "eleven rounds of a loop, inlined", RUN(SOCKET_FILTER, p_inlined, UNSPEC, 0),
	  MOST(110, 133, 2) },
	{ "16 elements of an array", RUN(SOCKET_FILTER, p_for_each, ARRAY, 0),
	  MOST(10, 33, 2) },
	{ "an element of a hash", RUN(SOCKET_FILTER, p_for_each, HASH, 0), .prog.elements = 1,
	  MOST(268, 327, 4) },
	{ "eleven elements of a hash", RUN(SOCKET_FILTER, p_for_each, HASH, 0), .prog.elements = 11,
	  MOST(665, 724, 4) },
	{ "an element of a hash, replaced", RUN(SOCKET_FILTER, p_replace, HASH, 0),
	  .prog.elements = 1, MOST(346, 441, 6) },
	/* That takes so long that a tick comes into each round. */
	{ "eleven, each replaced", RUN(SOCKET_FILTER, p_replace, HASH, 0),
	  .prog.elements = 11, MOST(1530, 1990, 27) },
	{ "empty XDP", RUN(XDP, p_xdp_empty, UNSPEC, XDP_PASS),
	  MOST(73, 96, 2), GOAL(73, 2) },
	{ "XDP header parse", RUN(XDP, p_xdp_parse, UNSPEC, XDP_PASS),
	  MOST(99, 134, 2), GOAL(130, 2) },
	{ "tc parse, rewrite 20 bytes", RUN(SCHED_CLS, p_tc_rewrite, UNSPEC, TC_ACT_OK),
	  MOST(161, 193, 2), GOAL(200, 2) },
	{ "udp port 53, packet socket", .table = PROGRAM, .runs = CLASSIC,
	  .measure = measure_packet_socket, .filter = &udp_port_53,
	  MOST(95, 130, 2), GOAL(110, 2) },

	{ "loopback, no filter", LOOPBACK(NOTHING) },
	{ "loopback, classic filter", LOOPBACK(CLASSIC), .filter = &port_and_data,
	  MOST(104, 139, 2), GOAL(2, 2) },
	{ "loopback, count in array", LOOPBACK(EBPF), PROG(SOCKET_FILTER, p_socket_count, ARRAY, 0),
	  MOST(76, 99, 2), GOAL(2, 2) },
	{ "veth, XDP parse, count, pass", VETH(SAME, XDP, p_xdp_count, ARRAY, 0),
	  MOST(102, 137, 2), GOAL(3, 2) },
	{ "veth, XDP parse, redirect", VETH(REDIRECTED, XDP, p_xdp_redirect, UNSPEC, 0),
	  MOST(328, 399, 4) },
	{ "veth, tc rewrite 20 bytes", VETH(SWAPPED, SCHED_CLS, p_tc_rewrite, UNSPEC, 0),
	  MOST(171, 203, 2), GOAL(4, 2) },
	{ "system call, no filter", CALLS(ARGUMENT), .runs = NOTHING },
	{ "system call, argument compared", CALLS(ARGUMENT), .runs = SECCOMP, .filter = &allow_list,
	  MOST(81, 116, 2), GOAL(8, 2) },
	{ "system call, ERRNO", CALLS(ERRNO), .runs = SECCOMP, .filter = &allow_list,
	  MOST(81, 116, 2), GOAL(8, 2) },

	{ "interrupt of kernel code", .table = INTERRUPT, .measure = measure_kernel_interrupt,
	  PROG(SOCKET_FILTER, p_interrupt, RINGBUF, 0) },
	{ "interrupt of user code", .table = INTERRUPT, .measure = measure_user_interrupt },
};

const int nr_rows = ARRAY_SIZE(rows);
