// SPDX-License-Identifier: GPL-2.0
#include "attack.h"
#include "socket_fields.h"

int out;

/* The next word of @out */
static int at;

void take(int reg)
{
	E(STX(BPF_DW, R8, reg, at));
	at += 8;
}

void field(int size, int reg, int off)
{
	E(LDX(size, R1, reg, off));
	take(R1);
}

void common(int reg)
{
	static const int words[] = {
		SOCK(bound_dev_if), SOCK(family), SOCK(src_ip4), SOCK(src_ip6[0]), SOCK(src_ip6[1]),
		SOCK(src_ip6[2]), SOCK(src_ip6[3]), SOCK(src_port), SOCK(dst_port), SOCK(dst_ip4),
		SOCK(dst_ip6[0]), SOCK(dst_ip6[1]), SOCK(dst_ip6[2]), SOCK(dst_ip6[3]),
		SOCK(state), SOCK(rx_queue_mapping),
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		field(BPF_W, reg, words[i]);
	field(BPF_H, reg, SOCK(family));
	field(BPF_B, reg, SOCK(family));
	field(BPF_B, reg, SOCK(src_ip4) + 1);
	field(BPF_H, reg, SOCK(src_ip4) + 2);
	field(BPF_H, reg, SOCK(dst_port));
	field(BPF_B, reg, SOCK(dst_port));
	field(BPF_B, reg, SOCK(dst_port) + 1);
	field(BPF_B, reg, SOCK(state));
	field(BPF_H, reg, SOCK(src_port));
}

void full(int reg)
{
	static const int words[] = { SOCK(type), SOCK(protocol), SOCK(mark), SOCK(priority) };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		field(BPF_W, reg, words[i]);
	field(BPF_B, reg, SOCK(protocol));
}

static void tcp(int reg)
{
	for (int off = 0; off <= (int)TCP(icsk_retransmits); off += 4) {
		if (off == TCP(bytes_received) || off == TCP(bytes_acked)) {
			field(BPF_DW, reg, off);
			off += 4;
		} else {
			field(BPF_W, reg, off);
		}
	}
}

int made(int func)
{
	E(MOV_REG(R1, R7), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, func), MOV_REG(R9, R0),
	  JMP_IMM(BPF_JEQ, R9, 0, 0));
	return cnt - 1;
}

void to_here(int jump)
{
	insns[jump].off = cnt - jump - 1;
}

void is_same(void)
{
	E(MOV_IMM(R1, 1), JMP_REG(BPF_JEQ, R9, R7, 1), MOV_IMM(R1, 2));
	take(R1);
}

void all_of_it(bool calls)
{
	static const int casts[] = {
		BPF_FUNC_skc_to_tcp_sock, BPF_FUNC_skc_to_tcp6_sock,
		BPF_FUNC_skc_to_tcp_timewait_sock, BPF_FUNC_skc_to_tcp_request_sock,
		BPF_FUNC_skc_to_udp6_sock, BPF_FUNC_skc_to_unix_sock,
	};
	int skip;

	common(R7);
	for (size_t i = 0; i < ARRAY_SIZE(casts); i++) {
		skip = made(casts[i]);
		E(MOV_IMM(R1, 3));
		take(R1);
		to_here(skip);
	}
	if (!calls)
		return;
	skip = made(BPF_FUNC_sk_fullsock);
	is_same();
	full(R9);
	common(R9);
	to_here(skip);
	skip = made(BPF_FUNC_tcp_sock);
	tcp(R9);
	to_here(skip);
	skip = made(BPF_FUNC_get_listener_sock);
	is_same();
	field(BPF_W, R9, SOCK(src_port));
	field(BPF_W, R9, SOCK(state));
	to_here(skip);
}

void begin_telling(void)
{
	cnt = at = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R8, out, 0));
}

void or_end(void)
{
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 0), EXIT(), MOV_REG(R7, R0));
}

void end_telling(int ret)
{
	E(MOV_IMM(R0, ret), EXIT());
	if (at > 8 * WORDS)
		bail("%d bytes", at);
}

void told(const char *what, s64 ret, struct told *was)
{
	struct told is = { .ret = ret };
	u32 zero = 0;
	int i;

	map_lookup(out, &zero, is.word);
	if (level) {
		*was = is;
		ok(ret >= 0, "2: %s: %ld", what, ret);
		return;
	}
	for (i = 0; i < WORDS && is.word[i] == was->word[i]; i++)
		;
	if (!ok(i == WORDS && ret == was->ret, "%s: the same at 0 and 2", what))
		diag("%s: %ld %ld, word %d: %lx %lx", what, ret, was->ret, i,
		     i < WORDS ? is.word[i] : 0, i < WORDS ? was->word[i] : 0);
}

void forget(void)
{
	static const u64 nothing[WORDS];
	u32 zero = 0;

	map_update(out, &zero, nothing);
}
