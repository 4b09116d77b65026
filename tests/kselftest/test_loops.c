// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=0,2 keys=13 full=1,0 timeout=400 */
/*
 * Can programs keep a CPU by sending packets to one another?
 *
 * Without MOAT a loop goes on until the test ends it, by a flag that the programs
 * look at. With it the loop ends by itself, soon after the budget, and nobody is
 * stopped for one; floods and chains of programs are let alone (loops_flood.c).
 */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "loops.h"

#define SENDER	1

static int la, lb;

static void clones(const struct prog_type *type, int to, s32 verdict)
{
	loop_begin(type);
	for (int i = 0; i < 12; i++)
		E(MOV_REG(R1, R6), MOV_IMM(R2, to), MOV_IMM(R3, 0), CALL(clone_redirect));
	E(MOV_IMM(R0, verdict), EXIT());
}

/* Sends the packet back out of the device it came from, or into it with a flag */
static void redirects_with(const struct prog_type *type, int helper, int flags)
{
	int ifindex = type == &xdp ? offsetof(struct xdp_md, ingress_ifindex) :
				     offsetof(struct __sk_buff, ifindex);

	loop_begin(type);
	E(LDX(BPF_W, R1, R6, ifindex), MOV_IMM(R2, flags), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper), EXIT());
}

static void redirects(const struct prog_type *type, int helper)
{
	redirects_with(type, helper, 0);
}

static void on_lo_clone(struct loop *l)
{
	clones(&sched_cls, 1, 0);
	add_program(l, &sched_cls);
	tc_attach(l->prog[0], 1, BPF_TC_INGRESS | BPF_TC_EGRESS, 1);
}

/* One after the other, so that they nest as deep as the kernel lets packets */
static void on_lo_nested(struct loop *l)
{
	for (int i = 0; i < 3; i++) {
		clones(&sched_cls, 1, -1);
		add_program(l, &sched_cls);
		tc_attach(l->prog[i], 1, BPF_TC_EGRESS, i + 1);
	}
}

static void between_veths(struct loop *l, const struct prog_type *type, int helper)
{
	make_veths(NULL, &la, &lb);
	for (int i = 0; i < 2; i++) {
		redirects(type, helper);
		add_program(l, type);
	}
	if (type == &xdp) {
		xdp_attach(l->prog[0], la, XDP_FLAGS_DRV_MODE);
		xdp_attach(l->prog[1], lb, XDP_FLAGS_DRV_MODE);
	} else {
		tc_attach(l->prog[0], la, BPF_TC_INGRESS, 1);
		tc_attach(l->prog[1], lb, BPF_TC_INGRESS, 1);
	}
	l->ifindex = la;
}

static void tc_redirect(struct loop *l)
{
	between_veths(l, &sched_cls, BPF_FUNC_redirect);
}

static void tc_redirect_in(struct loop *l)
{
	redirects_with(&sched_cls, BPF_FUNC_redirect, BPF_F_INGRESS);
	add_program(l, &sched_cls);
	tc_attach(l->prog[0], 1, BPF_TC_INGRESS, 1);
}

/*
 * TC_ACT_REDIRECT goes where the last call said, whoever made it: here the run of a
 * clone, which knows itself by its mark.
 */
static void tc_redirect_fed(struct loop *l)
{
	const int mark = offsetof(struct __sk_buff, mark);

	loop_begin(&sched_cls);
	E(ST(BPF_W, R10, -8, 1), LDX(BPF_W, R1, R10, -8), STX(BPF_W, R6, R1, mark),
	  MOV_REG(R1, R6), MOV_IMM(R2, 1), MOV_IMM(R3, 0), CALL(clone_redirect),
	  MOV_IMM(R0, 7), EXIT());
	add_program(l, &sched_cls);
	tc_attach(l->prog[0], 1, BPF_TC_INGRESS, 1);
	loop_begin(&sched_cls);
	E(LDX(BPF_W, R1, R6, mark), MOV_IMM(R0, 0), JMP_IMM(BPF_JEQ, R1, 0, 4), MOV_IMM(R1, 1),
	  MOV_IMM(R2, BPF_F_INGRESS), CALL(redirect), MOV_IMM(R0, 2), EXIT());
	add_program(l, &sched_cls);
	tc_attach(l->prog[1], 1, BPF_TC_EGRESS, 1);
}

static void xdp_redirect(struct loop *l)
{
	between_veths(l, &xdp, BPF_FUNC_redirect);
}

static void tc_redirect_neigh(struct loop *l)
{
	redirects(&sched_cls, BPF_FUNC_redirect_neigh);
	add_program(l, &sched_cls);
	tc_attach(l->prog[0], 1, BPF_TC_INGRESS, 1);
	l->udp = true;
}

/* Never leaves __netif_receive_skb_core(): the one that the kernel has no end for */
static void tc_redirect_peer(struct loop *l)
{
	make_veths("moatloop", &la, &lb);
	redirects(&sched_cls, BPF_FUNC_redirect_peer);
	add_program(l, &sched_cls);
	tc_attach(l->prog[0], la, BPF_TC_INGRESS, 1);
	enter_netns("moatloop");
	tc_attach(l->prog[0], lb, BPF_TC_INGRESS, 1);
	enter_netns(NULL);
	l->ifindex = lb;
	l->netns = "moatloop";
}

static void xdp_tx(struct loop *l, int a, int b, int mode)
{
	loop_begin(&xdp);
	E(MOV_IMM(R0, XDP_TX), EXIT());
	add_program(l, &xdp);
	xdp_attach(l->prog[0], a, mode);
	if (b)
		xdp_attach(l->prog[0], b, mode);
	l->ifindex = a;
}

static void native_tx(struct loop *l)
{
	make_veths(NULL, &la, &lb);
	xdp_tx(l, la, lb, XDP_FLAGS_DRV_MODE);
}

static void generic_tx(struct loop *l)
{
	xdp_tx(l, 1, 0, XDP_FLAGS_SKB_MODE);
}

static void generic_redirect(struct loop *l)
{
	redirects(&xdp, BPF_FUNC_redirect);
	add_program(l, &xdp);
	xdp_attach(l->prog[0], 1, XDP_FLAGS_SKB_MODE);
}

/* A frame of XDP becomes a packet of tc, and that a frame */
static void mixed(struct loop *l)
{
	make_veths(NULL, &la, &lb);
	redirects(&xdp, BPF_FUNC_redirect);
	add_program(l, &xdp);
	xdp_attach(l->prog[0], la, XDP_FLAGS_DRV_MODE);
	loop_begin(&xdp);
	E(MOV_IMM(R0, XDP_PASS), EXIT());
	add_program(l, &xdp);
	xdp_attach(l->prog[1], lb, XDP_FLAGS_DRV_MODE);
	redirects(&sched_cls, BPF_FUNC_redirect);
	add_program(l, &sched_cls);
	tc_attach(l->prog[2], lb, BPF_TC_INGRESS, 1);
	l->ifindex = lb;
}

static const struct {
	const char *name;
	void (*set_up)(struct loop *l);
} kinds[] = {
	{ "clone_redirect to lo, 12 times", on_lo_clone },
	{ "three programs that do so inside of one another", on_lo_nested },
	{ "redirect between two devices, two programs", tc_redirect },
	{ "redirect into the device it came from", tc_redirect_in },
	{ "redirect by the call of another run", tc_redirect_fed },
	{ "redirect_neigh on lo", tc_redirect_neigh },
	{ "redirect_peer between two namespaces", tc_redirect_peer },
	{ "XDP_TX between veths", native_tx },
	{ "XDP_TX on lo, generic", generic_tx },
	{ "XDP_REDIRECT between veths, two programs", xdp_redirect },
	{ "XDP_REDIRECT on lo, generic", generic_redirect },
	{ "XDP_REDIRECT here, redirect of tc there", mixed },
};

static void *sends_one(void *arg)
{
	const struct loop *l = arg;

	pin_to_cpu(SENDER);
	send_frames(l, 1);
	return NULL;
}

/* Whether programs still run */
static bool goes_on(const struct loop *l)
{
	u64 runs = map_word(l->map, RUNS);

	usleep(700000);
	return map_word(l->map, RUNS) != runs;
}

static bool stopped(const struct loop *l)
{
	for (int i = 0; i < l->nr; i++)
		if (kmsg_stopped(l->prog[i], "loop"))
			return true;
	return false;
}

/* Begins one, and waits till it ends, or for so many seconds: then it is ended. */
static bool lasts(struct loop *l, int seconds)
{
	u64 end = now_ns() + seconds * 1000000000ULL;
	pthread_t thread;
	bool on;

	if (pthread_create(&thread, NULL, sends_one, l))
		bail("pthread_create");
	usleep(300000);
	do {
		on = goes_on(l);
	} while (on && now_ns() < end);
	loop_stop(l);
	pthread_join(thread, NULL);
	return on;
}

static void a_loop(int kind, int level)
{
	const char *name = kinds[kind].name;
	s64 refused = moat_counter("refused_sends");
	struct loop l = { .ifindex = 1 };
	bool isolated = true;

	loop_open(&l);
	kinds[kind].set_up(&l);
	for (int i = 0; i < l.nr; i++)
		isolated &= moat_layer(l.prog[i]) != NONE;
	kmsg_mark();
	if (!level) {
		ok(lasts(&l, 4), "%s: goes on for longer than the budget", name);
	} else {
		ok(isolated && !lasts(&l, 60) && map_word(l.map, RUNS) > 2, "%s: ends by itself",
		   name);
		ok(moat_counter("refused_sends") > refused &&
		   kmsg_find("redirect refused", "loop (id "), "%s: counted and logged", name);
		ok(!stopped(&l), "%s: nobody is stopped", name);
	}
	diag("%s: %lu runs", name, map_word(l.map, RUNS));
	loop_close(&l);
}

/* Who does it over and over is stopped. */
static void again(void)
{
	struct loop l = { .ifindex = 1 };
	u64 runs;
	int i;

	loop_open(&l);
	generic_tx(&l);
	kmsg_mark();
	for (i = 0; i < 12 && !stopped(&l); i++) {
		loop_go(&l);
		lasts(&l, 60);
		/* A CPU that has just rested has the whole budget again. */
		sleep(2);
	}
	diag("stopped after %d", i);
	ok(i > 3 && i < 12, "who keeps a CPU over and over is stopped in the end");
	loop_go(&l);
	runs = map_word(l.map, RUNS);
	send_frames(&l, 1);
	ok(map_word(l.map, RUNS) == runs, "and does not run again");
	loop_close(&l);
}

int main(int argc, char **argv)
{
	int level = atoi(getenv("MOAT_LEVEL") ?: "0"), before = 0;
	const char *only = argc > 1 ? argv[1] : "";

	/* It complains of a clsact that is there already. */
	libbpf_set_print(NULL);
	pin_to_cpu(0);
	system("ip link set lo up");
	if (level)
		before = moat_set_budget(1);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strstr(kinds[i].name, only))
			a_loop(i, level);
	if (level && !*only)
		again();
	if (!*only)
		floods(level);
	if (level)
		moat_set_budget(before);
	return finish();
}
