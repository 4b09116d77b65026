// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=2 cpus=2 keys=13,0 full=1 timeout=600 */
/*
 * Do filters of system calls return the same, isolated at both levels, confined and plain?
 *
 * usage: test_results_seccomp [SEED [COUNT]]
 *
 * Filters at random, as long as they come and as long as they may be, each in a process of
 * its own that makes a call with known arguments over and over: it gets some bits of the
 * result as its errno, which the interpreter of classic.c says as well. Of those that end
 * in a kill a child makes the call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jail.h"

/* How many calls with one filter */
#define CALLS 8
#define BITS 12

/* What a child found out */
static struct {
	u32 calls, kills, wrong;
	long is, due;
	struct seccomp_data data;
} *found;

static u64 seed;

struct filter {
	const struct sock_filter *insns;
	u32 n;
};

static int make_call(const void *data)
{
	return raw_call(NR, ((const struct seccomp_data *)data)->args) ? 0 : 1;
}

static void call(const struct filter *filter, struct classic_input *in, struct seccomp_data *data)
{
	u32 ret, action;
	long is, due;

	classic_input_set(in, data);
	ret = classic_run(filter->insns, filter->n, in);
	action = ret & SECCOMP_RET_ACTION_FULL;
	found->calls++;
	if (action == SECCOMP_RET_KILL_THREAD || action == SECCOMP_RET_KILL_PROCESS) {
		found->kills++;
		is = in_child(make_call, data);
		if (was_killed(is))
			return;
		due = -1;
	} else {
		is = raw_call(NR, data->args);
		due = -(long)(ret & SECCOMP_RET_DATA);
		if (action == SECCOMP_RET_ERRNO && is == due)
			return;
	}
	if (!found->wrong++) {
		found->is = is;
		found->due = due;
		found->data = *data;
	}
}

static int under(const void *arg)
{
	struct seccomp_data data = { .nr = NR, .arch = AUDIT_ARCH_X86_64,
				     .instruction_pointer = (uintptr_t)raw_call_end };
	const struct filter *filter = arg;
	struct classic_input in = classic_input(&data, sizeof(data), sizeof(data));

	in.seccomp = true;
	if (jail(filter->insns, filter->n, 0))
		return 1;
	for (int i = 0; i < CALLS; i++) {
		for (int n = 0; n < 5; n++)
			data.args[n] = (u64)classic_rand(&seed) << 32 | classic_rand(&seed);
		if (i == 0)
			memset(data.args, 0, sizeof(data.args));
		if (i == 1)
			memset(data.args, 0xff, sizeof(data.args));
		for (u32 shift = 0; shift < 32; shift += BITS) {
			data.args[5] = shift;
			call(filter, &in, &data);
		}
	}
	return 0;
}

/* Some bits of A as the call's errno */
static void show_a(struct classic *c)
{
	ADD(c, C(BPF_ST, 0), LD_ARG(5), C(BPF_MISC | BPF_TAX, 0), C(BPF_LD | BPF_MEM, 0),
	    C(BPF_ALU | BPF_RSH | BPF_X, 0), C(BPF_ALU | BPF_AND | BPF_K, (1 << BITS) - 1),
	    C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), C(BPF_RET | BPF_A, 0));
}

static bool right(enum jail_mode mode, const struct filter *filter)
{
	int status;

	status = in_child(under, filter);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		diag("%s: status %#x", jail_mode_name[mode], status);
		return false;
	}
	if (!found->wrong)
		return true;
	diag("%s: %u of %u calls: %ld, not %ld, with %#llx %#llx %#llx %#llx %#llx %#llx",
	     jail_mode_name[mode], found->wrong, found->calls, found->is, found->due,
	     found->data.args[0], found->data.args[1], found->data.args[2], found->data.args[3],
	     found->data.args[4], found->data.args[5]);
	for (u32 i = 0; i < filter->n && i < 64; i++)
		diag("  %u: code %#x jt %u jf %u k %#x", i, filter->insns[i].code,
		     filter->insns[i].jt, filter->insns[i].jf, filter->insns[i].k);
	found->wrong = 0;
	return false;
}

static void at_random(enum jail_mode mode, u64 start, u32 count)
{
	u32 wrong = 0;

	seed = start;
	for (u32 i = 0; i < count && wrong < 3; i++) {
		struct classic c = {};

		ADD(&c, ONLY_NR);
		classic_random(&c, &seed, classic_rand(&seed) % 180, 0, true);
		show_a(&c);
		wrong += !right(mode, &(struct filter){ c.insns, c.n });
	}
	ok(!wrong, "%s: %u at random", jail_mode_name[mode], count);
}

/* A word of the data after the other, at the end of as many instructions as there may be */
static void as_long_as_can_be(enum jail_mode mode)
{
	static struct sock_filter insns[BPF_MAXINSNS];
	struct classic start = {}, end = {};
	u32 n, wrong = 0;

	for (u32 word = 0; word < 16; word++) {
		start.n = end.n = 0;
		ADD(&start, ONLY_NR);
		ADD(&end, C(BPF_LD | BPF_W | BPF_ABS, 4 * word), C(BPF_ALU | BPF_XOR | BPF_X, 0));
		show_a(&end);
		memcpy(insns, start.insns, start.n * sizeof(insns[0]));
		for (n = start.n; n < BPF_MAXINSNS - end.n; n++)
			insns[n] = n % 2 ? LD_ARG(0) : C(BPF_MISC | BPF_TAX, 0);
		memcpy(insns + n, end.insns, end.n * sizeof(insns[0]));
		wrong += !right(mode, &(struct filter){ insns, BPF_MAXINSNS });
	}
	ok(!wrong, "%s: each word, after %u instructions", jail_mode_name[mode], n);
}

static int takes(const void *arg)
{
	const struct filter *filter = arg;
	int err = jail(filter->insns, filter->n, 0);

	return err ? err == -EINVAL ? 1 : 2 : 0;
}

/* What may not be loaded, and a code that only packets have */
static void refused(enum jail_mode mode)
{
	static const struct sock_filter bad[] = {
		LD_DATA(nr), C(BPF_LD | BPF_W | BPF_ABS, 1), C(BPF_LD | BPF_W | BPF_ABS, 64),
		C(BPF_LD | BPF_W | BPF_ABS, 60), C(BPF_LD | BPF_W | BPF_ABS, 0x7ffffffc),
		C(BPF_LD | BPF_W | BPF_ABS, -4), C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF),
		C(BPF_LD | BPF_H | BPF_ABS, 4), C(BPF_LD | BPF_W | BPF_IND, 4),
		C(BPF_LDX | BPF_B | BPF_MSH, 0), C(BPF_ALU | BPF_MOD | BPF_K, 3),
	};
	u32 wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct sock_filter insns[] = { bad[i], RET(SECCOMP_RET_ALLOW) };
		int status = in_child(takes, &(struct filter){ insns, ARRAY_SIZE(insns) });
		bool due = classic_valid(insns, ARRAY_SIZE(insns), true);

		if (WIFEXITED(status) && WEXITSTATUS(status) == !due)
			continue;
		diag("code %#x of %#x: status %#x", bad[i].code, bad[i].k, status);
		wrong++;
	}
	ok(!wrong, "%s: loads of what is not there are refused", jail_mode_name[mode]);
}

int main(int argc, char **argv)
{
	u64 start = argc > 1 ? strtoull(argv[1], NULL, 0) : 20221206;
	u32 count = argc > 2 ? atoi(argv[2]) : 80;

	found = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (found == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	diag("seed %#lx", start);
	for (int mode = 0; mode < jail_modes(); mode++) {
		s64 runs = moat_counter("runs");

		found->calls = found->kills = 0;
		jail_set_mode(mode);
		at_random(mode, start, count);
		as_long_as_can_be(mode);
		refused(mode);
		runs = moat_counter("runs") - runs;
		if (moat_present())
			ok(jail_is_isolated(mode) ? runs >= found->calls : !runs,
			   "%s: %u calls, %u kills, %ld isolated runs", jail_mode_name[mode],
			   found->calls, found->kills, runs);
	}
	if (!moat_present())
		skip("no moat.ko", "isolated, and confined");
	return finish();
}
