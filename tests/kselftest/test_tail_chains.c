// SPDX-License-Identifier: GPL-2.0
/*
 * Tail calls in functions, by other ways to the array, and for how long: as plain ones, but
 * that a chain has the time of one run.
 *
 * moat-test: kernel=test,preempt levels=2 keys=13,0 timeout=240
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "tails.h"

/* What is in insns, with a function at instruction @at */
static int load_with_function(int level, const char *name, u32 at)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int proto = btf__add_func_proto(btf, number);
	struct bpf_func_info functions[2] = {
		{ .type_id = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto) },
		{ .insn_off = at, .type_id = btf__add_func(btf, "g", BTF_FUNC_STATIC, proto) },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		.prog_btf_fd = btf__load_into_kernel(btf) ? -1 : btf__fd(btf),
		.func_info = functions, .func_info_cnt = 2,
		.func_info_rec_size = sizeof(functions[0]),
		.log_buf = prog_log, .log_size = sizeof(prog_log), .log_level = 1);
	int fd;

	moat_set_level(level);
	fd = bpf_prog_load(t->type, name, "GPL", insns, cnt, &opts);
	loaded(fd, level, name);
	btf__free(btf);
	cnt = 0;
	return fd;
}

/* A function's tail call is the function's result; what changed is there, too. */
static void in_function(int mix, u64 *told)
{
	int first, second, at;

	begin_tails(1);
	E(MOV_REG(R6, R1), MOV_IMM(R8, 1000));
	at = cnt;
	/* An int: the upper half is what it happens to be. */
	E(CALL_REL(0), ALU32_REG(BPF_MOV, R0, R0), TELL(0, R0), ALU64_REG(BPF_ADD, R8, R0));
	if (t != &xdp)
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(1, R3));
	E(MOV_REG(R0, R8), EXIT());
	insns[at].imm = cnt - at - 1;
	at = cnt;
	E(MOV_REG(R6, R1), MOV_IMM(R8, 7), COUNT(2), GO(MOV_IMM(R3, 0)), COUNT(3), RETURN(FELL));
	first = load_with_function(FROM(mix), "first", at);
	E(MOV_REG(R6, R1), COUNT(4));
	if (t != &xdp)
		E(MOV_IMM(R3, 0x4711), STX(BPF_W, R6, R3, offsetof(struct __sk_buff, cb[1])));
	E(RETURN(-5));
	second = load_at(TO(mix), "second");
	told[0] = prog_run_once(first);
	put(0, second);
	told[1] = prog_run_once(first);
	for (int i = 0; i < 5; i++)
		told[2 + i] = map_word(words, i);
	close(first);
	close(second);
	end_tails();
}

static void in_functions(void)
{
	u64 plain[7], mixed[7];

	in_function(0, plain);
	ok(plain[0] == 1000 + FELL && (u32)plain[1] == 1000 - 5,
	   "%s: a function's tail call is its result", t->name);
	for (int mix = 1; mix < 4; mix++) {
		in_function(mix, mixed);
		if (!ok(!memcmp(plain, mixed, sizeof(plain)), "%s, %s: in a function", t->name,
			mix_name[mix]))
			for (int i = 0; i < 7; i++)
				diag("%lx, plain %lx", mixed[i], plain[i]);
	}
}

/* @n programs, each of which goes to the next in a function, and the last to the first */
static u64 functions_in_turn(int level, int n)
{
	int fds[12], at;
	u64 runs;

	begin_tails(n);
	for (int i = 0; i < n; i++) {
		E(MOV_REG(R6, R1), COUNT(0), MOV_REG(R1, R6), CALL_REL(1), EXIT());
		at = cnt;
		E(MOV_REG(R6, R1), GO(MOV_IMM(R3, (i + 1) % n)), RETURN(FELL));
		fds[i] = load_with_function(level, "in_turn", at);
		put(i, fds[i]);
	}
	prog_run_once(fds[0]);
	runs = map_word(words, 0);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	end_tails();
	return runs;
}

/*
 * Each is a run inside of the other, with the kernel's stack below it, and of one program
 * there are three: more are given the verdict, and counted.
 */
static void nest(void)
{
	s64 too_deep = moat_counter("too_deep");
	u64 plain = functions_in_turn(0, 12), isolated = functions_in_turn(2, 12), own;

	ok(plain == MOST + 1 && isolated == plain && moat_counter("too_deep") == too_deep,
	   "%s: functions nest %d deep", t->name, MOST);
	own = functions_in_turn(2, 1);
	ok(own == 3 && moat_counter("too_deep") == too_deep + 1,
	   "%s: one program is in three runs, and a fourth is counted", t->name);
	diag("%lu, plain %lu, of one %lu", isolated, plain, own);
}

/* Which array it is, is decided late: the verifier tells of none. */
static s64 one_of_two(int level, u64 which)
{
	int other, first, second;
	s64 verdict;
	u32 zero = 0;

	begin_tails(1);
	other = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
	E(MOV_REG(R6, R1), GIVEN(R7), LD_MAP_FD(R2, array), JMP_IMM(BPF_JEQ, R7, 0, 2),
	  LD_MAP_FD(R2, other), MOV_REG(R1, R6), MOV_IMM(R3, 0), CALL(tail_call), RETURN(FELL));
	first = load_at(level, "one_of_two");
	E(RETURN(5));
	second = load_at(level, "second");
	map_update(other, &zero, &second);
	give(which);
	verdict = prog_run_once(first);
	close(first);
	close(second);
	close(other);
	end_tails();
	return verdict;
}

/* How many ms a run of @fd takes, and what it returns */
static u64 took(int fd, s64 *verdict)
{
	u64 began = now_ns();

	*verdict = prog_run_once(fd);
	return (now_ns() - began) / 1000000 + 1;
}

/*
 * Each takes a sixth of the budget, and all of them more than there is. False if the machine
 * had so much else to do that not even the first was through, unless it is @last.
 */
static bool takes_too_long(int mix, bool last)
{
	s64 violations = moat_counter("violations");
	int first, second, tries;
	bool told;
	s64 verdict;
	u64 ms;

	begin_tails(2);
	bypass_verifier(true);
	/* R9 is nothing yet: the verifier is not to follow the loop. */
	E(MOV_REG(R6, R1), MOV_REG(R8, R9), COUNT(0), GIVEN(R7), ALU64_IMM(BPF_SUB, R7, 1),
	  JMP_IMM(BPF_JNE, R7, 0, -2), GO(MOV_IMM(R3, 1)), RETURN(t->pass));
	first = load_at(FROM(mix), "first");
	bypass_verifier(false);
	E(MOV_REG(R6, R1), COUNT(1), GO(MOV_IMM(R3, 0)), RETURN(t->pass));
	second = load_at(TO(mix), "second");
	/* The best of some: what else the machine does may have made one slow. */
	for (ms = -1, tries = 0; tries < 5; tries++) {
		u64 this;

		give(1 << 25);
		this = took(first, &verdict);
		ms = this < ms ? this : ms;
	}
	give((1ULL << 25) * 170 / ms);
	put(0, first);
	put(1, second);
	ms = took(first, &verdict);
	diag("%lu ms, %lu runs", ms, map_word(words, 0));
	told = last || map_word(words, 1);
	if (told)
		ok(verdict == t->safe && moat_counter("violations") == violations + 1 &&
		   map_word(words, 1) > 0 && map_word(words, 0) < (MOST + 1) / 2,
		   "%s, %s: a chain has the time of a run", t->name, mix_name[mix]);
	close(first);
	close(second);
	end_tails();
	return told;
}

int main(void)
{
	int budget;

	if (!moat_present())
		skip_all("no moat.ko");
	moat_set_strict(true);
	budget = moat_set_budget(1);
	for (size_t i = 0; i < ARRAY_SIZE(tail_types); i++) {
		t = tail_types[i];
		in_functions();
		nest();
		for (int which = 0; which < 2; which++)
			ok(one_of_two(0, which) == (which ? 5 : FELL) &&
			   one_of_two(2, which) == (which ? 5 : FELL),
			   "%s: array %d of two", t->name, which);
		for (int mix = 2; test_kernel() && mix < 4; mix++)
			for (int tries = 1; !takes_too_long(mix, tries == 5); tries++)
				;
	}
	moat_set_budget(budget);
	return finish();
}
