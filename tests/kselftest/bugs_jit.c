// SPDX-License-Identifier: GPL-2.0
/*
 * An image that the JIT takes for settled while it still changes.
 *
 * A jump is two bytes or, if it leads further, six. How far that is, the JIT knows from its
 * last pass, and it does passes until the image is as long as it was. So here one jump
 * becomes shorter in each pass, since the one that it leads across did in the last. Three
 * of them do so at once, which a jump back that is behind them takes for a longer way: it
 * grows, and shrinks again in the next pass. One that leads across it grows in that pass
 * and shrinks in the one after, where one across that one grows. These two passes are as
 * long as the one before. The code between the last two jumps is four bytes further down
 * than a jump to there believes.
 */
#include "bugs.h"

/* In bytes of code, if all jumps are short: */
static int at;

/* Jumps that are to lead across so much, and at most three less */
static struct far {
	int insn, from, across;
} fars[8];
static int nr_fars;

static void put(struct bpf_insn insn, int bytes)
{
	int i;

	E(insn);
	at += bytes;
	for (i = 0; i < nr_fars; i++) {
		struct far *far = &fars[i];

		if (at - far->from < far->across - 3)
			continue;
		if (at - far->from > far->across)
			bail("no instruction begins %d bytes behind a jump", far->across);
		insns[far->insn].off = cnt - far->insn - 1;
		*far = fars[--nr_fars];
		i--;
	}
}

static void fill(void)
{
	put(ALU64_IMM(BPF_ADD, R3, 1), 4);
}

/* Never taken, which the verifier cannot know. */
static int jump(int off)
{
	static int other;

	other = other % 100 + 2;
	put(JMP_IMM(BPF_JEQ, R2, other, off), 4 + 2);
	return cnt - 1;
}

static void jump_far(int across)
{
	int insn = jump(0);

	fars[nr_fars++] = (struct far){ .insn = insn, .from = at, .across = across };
}

/* The longest way forward of a jump of two bytes, and how much longer others are */
#define SHORT 123
#define MORE 4

/* @between: code to whose end a jump leads that is taken, R6 = 0. */
static void unsettled(void (*between)(void))
{
	int i, taken, across, back;

	at = 0;
	nr_fars = 0;
	E(GIVEN(R2, VALUE), MOV_IMM(R3, 0), MOV_IMM(R6, 0), MOV_IMM(R9, 1));
	/* These three at once, */
	for (i = 2; i >= 0; i--)
		jump_far(SHORT - i * MORE);
	/* after these, from the last to the first */
	for (i = 0; i < 3; i++)
		jump_far(SHORT);
	while (nr_fars > 1)
		fill();
	/* which leads across this one: that is short in the second pass. */
	jump(2);
	fill();
	fill();
	while (nr_fars)
		fill();

	put(JMP_IMM(BPF_JEQ, R2, 1, 0), 4 + 2);
	taken = cnt - 1;
	jump_far(SHORT);
	put(MOV_IMM(R9, 2), 6);
	between();
	insns[taken].off = cnt - taken - 1;
	across = jump(0);
	back = cnt;
	for (i = 0; i < 27; i++)
		fill();
	put(ALU64_IMM(BPF_SUB, R9, 1), 4);
	put(JMP_IMM(BPF_JNE, R9, 0, back - cnt - 1), 3 + 2);
	fill();
	insns[across].off = cnt - across - 1;
	fill();
	fill();
}

/* What is four bytes before the end adds 1. */
static void one_more(void)
{
	put(MOV_IMM(R6, -1), 7);
	put(ALU64_IMM(BPF_ADD, R6, 1), 4);
}

void jump_before(void)
{
	unsettled(one_more);
}

/* Here it is the upper half of a number: push $1; pop %rbx; nop. RBX is R6. */
static void hidden_code(void)
{
	const struct bpf_insn number[] = { LD_IMM64(R3, 0x905b016aULL << 32) };

	put(number[0], 0);
	put(number[1], 10);
}

void jump_into(void)
{
	unsettled(hidden_code);
}
