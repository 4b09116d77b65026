// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that play scripts: each step is a helper and its arguments, as they are
 * where the verifier lets a program pass any number. After a step the program copies
 * the beginning of metadata and packet to where user space can look at them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "fuzz.h"

static struct bpf_insn code[4096];
static int len;

static void emit(const struct bpf_insn *more, int n)
{
	if (len + n > (int)ARRAY_SIZE(code))
		bail("a player is too long");
	memcpy(code + len, more, n * sizeof(*more));
	len += n;
}
#define E(...) do { \
		struct bpf_insn e_[] = { __VA_ARGS__ }; \
		emit(e_, ARRAY_SIZE(e_)); \
	} while (0)

const char *const op_name[OPS] = {
	"look", "change_head", "change_tail", "change_proto", "change_type", "adjust_room",
	"vlan_push", "vlan_pop", "pull_data", "store_bytes", "l3_csum_replace",
	"l4_csum_replace", "clone_redirect", "redirect", "redirect_peer", "redirect_neigh",
	"set_hash", "set_hash_invalid", "get_hash_recalc", "csum_level", "csum_update",
	"csum_diff", "ecn_set_ce", "set_tunnel_key", "set_tunnel_opt", "get_tunnel_key",
	"get_tunnel_opt", "set_tstamp", "check_mtu", "load_bytes", "load_bytes_relative",
	"write", "write_context", "adjust_head", "adjust_meta", "adjust_tail", "xdp_load_bytes",
	"xdp_store_bytes", "get_buff_len",
};

/*
 * R6 context, R7 script, R8 number of the step, R9 the step; the verdict and the number
 * of steps are on the stack.
 */
#define VERDICT	(-8)
#define PENDING	(-16)
#define WORD	(-24)
#define SCRIPT(FIELD)	((int)offsetof(struct script, FIELD))
#define STEP(FIELD)	((int)offsetof(struct step, FIELD))

static int done[64], nr_done;

/* Ends a step that was a call; the first of its instructions is a jump over it. */
static void case_of(enum op op, const struct bpf_insn *insns, int n, bool keep)
{
	/* R0 is the op. */
	E(JMP_IMM(BPF_JNE, R0, op, n + 1 + keep));
	emit(insns, n);
	if (keep)
		E(STX(BPF_DW, R10, R0, VERDICT));
	done[nr_done++] = len;
	E(JA(0));
}
#define CASE(OP, ...) do { \
		struct bpf_insn c_[] = { __VA_ARGS__ }; \
		case_of(OP, c_, ARRAY_SIZE(c_), false); \
	} while (0)
#define CASE_VERDICT(OP, ...) do { \
		struct bpf_insn c_[] = { __VA_ARGS__ }; \
		case_of(OP, c_, ARRAY_SIZE(c_), true); \
	} while (0)

#define ARG(REG, N)	LDX(BPF_DW, REG, R9, STEP(arg) + 8 * (N))
#define CTX()		MOV_REG(R1, R6)
/* What the program owns */
#define MEM(REG)	MOV_REG(REG, R7), ALU64_IMM(BPF_ADD, REG, SCRIPT(own))
/* Where what it reads in this step is shown */
#define SHOWN(REG)	MOV_REG(REG, R8), ALU64_IMM(BPF_MUL, REG, SEEN), \
			ALU64_REG(BPF_ADD, REG, R7), ALU64_IMM(BPF_ADD, REG, SCRIPT(seen))
/* A size: argument N, from 1 to MOST */
#define SIZE(REG, N, MOST) ARG(REG, N), ALU64_IMM(BPF_AND, REG, (MOST) - 1), \
			ALU64_IMM(BPF_ADD, REG, 1)

static void tc_cases(void)
{
	CASE(CHANGE_HEAD, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(skb_change_head));
	CASE(CHANGE_TAIL, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(skb_change_tail));
	CASE(CHANGE_PROTO, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(skb_change_proto));
	CASE(CHANGE_TYPE, CTX(), ARG(R2, 0), CALL(skb_change_type));
	CASE(ADJUST_ROOM, CTX(), ARG(R2, 0), ARG(R3, 1), ARG(R4, 2), CALL(skb_adjust_room));
	CASE(VLAN_PUSH, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(skb_vlan_push));
	CASE(VLAN_POP, CTX(), CALL(skb_vlan_pop));
	CASE(PULL_DATA, CTX(), ARG(R2, 0), CALL(skb_pull_data));
	CASE(STORE_BYTES, CTX(), ARG(R2, 0), MEM(R3), SIZE(R4, 1, 256), ARG(R5, 2),
	     CALL(skb_store_bytes));
	CASE(L3_CSUM, CTX(), ARG(R2, 0), ARG(R3, 1), ARG(R4, 2), ARG(R5, 3),
	     CALL(l3_csum_replace));
	CASE(L4_CSUM, CTX(), ARG(R2, 0), ARG(R3, 1), ARG(R4, 2), ARG(R5, 3),
	     CALL(l4_csum_replace));
	CASE(CLONE_REDIRECT, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(clone_redirect));
	CASE_VERDICT(REDIRECT, ARG(R1, 0), ARG(R2, 1), CALL(redirect));
	CASE_VERDICT(REDIRECT_PEER, ARG(R1, 0), ARG(R2, 1), CALL(redirect_peer));
	CASE_VERDICT(REDIRECT_NEIGH, ARG(R1, 0), MEM(R2), ARG(R3, 1), ARG(R4, 2),
		     ALU64_IMM(BPF_AND, R3, 63), CALL(redirect_neigh));
	CASE(SET_HASH, CTX(), ARG(R2, 0), CALL(set_hash));
	CASE(HASH_INVALID, CTX(), CALL(set_hash_invalid));
	CASE(HASH_RECALC, CTX(), CALL(get_hash_recalc));
	CASE(CSUM_LEVEL, CTX(), ARG(R2, 0), CALL(csum_level));
	CASE(CSUM_UPDATE, CTX(), ARG(R2, 0), CALL(csum_update));
	CASE(ECN_SET_CE, CTX(), CALL(skb_ecn_set_ce));
	CASE(SET_TUNNEL_KEY, CTX(), MEM(R2), SIZE(R3, 0, 64), ARG(R4, 1),
	     CALL(skb_set_tunnel_key));
	CASE(SET_TUNNEL_OPT, CTX(), MEM(R2), SIZE(R3, 0, 256), CALL(skb_set_tunnel_opt));
	CASE(GET_TUNNEL_KEY, CTX(), SHOWN(R2), SIZE(R3, 0, 64), ARG(R4, 1),
	     CALL(skb_get_tunnel_key));
	CASE(GET_TUNNEL_OPT, CTX(), SHOWN(R2), SIZE(R3, 0, 128), CALL(skb_get_tunnel_opt));
	CASE(SET_TSTAMP, CTX(), ARG(R2, 0), ARG(R3, 1), CALL(skb_set_tstamp));
	CASE(LOAD_BYTES, CTX(), ARG(R2, 0), SHOWN(R3), SIZE(R4, 1, 128), CALL(skb_load_bytes));
	CASE(LOAD_RELATIVE, CTX(), ARG(R2, 0), SHOWN(R3), SIZE(R4, 1, 128), ARG(R5, 2),
	     CALL(skb_load_bytes_relative));
	CASE(WRITE_CONTEXT, ARG(R1, 0), ARG(R2, 1),
	     STX(BPF_W, R6, R1, offsetof(struct __sk_buff, cb[1])),
	     STX(BPF_W, R6, R2, offsetof(struct __sk_buff, queue_mapping)),
	     STX(BPF_W, R6, R1, offsetof(struct __sk_buff, priority)),
	     STX(BPF_W, R6, R1, offsetof(struct __sk_buff, tc_index)), MOV_IMM(R0, 0));
}

static void xdp_cases(void)
{
	CASE(ADJUST_HEAD, CTX(), ARG(R2, 0), CALL(xdp_adjust_head));
	CASE(ADJUST_META, CTX(), ARG(R2, 0), CALL(xdp_adjust_meta));
	CASE(ADJUST_TAIL, CTX(), ARG(R2, 0), CALL(xdp_adjust_tail));
	CASE(BUFF_LEN, CTX(), CALL(xdp_get_buff_len));
	CASE(XDP_LOAD, CTX(), ARG(R2, 0), SHOWN(R3), SIZE(R4, 1, 128), CALL(xdp_load_bytes));
	CASE(XDP_STORE, CTX(), ARG(R2, 0), MEM(R3), SIZE(R4, 1, 256), CALL(xdp_store_bytes));
	CASE_VERDICT(REDIRECT, ARG(R1, 0), ARG(R2, 1), CALL(redirect));
}

static void both_cases(bool is_xdp, bool writes)
{
	int data = is_xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);

	CASE(CHECK_MTU, CTX(), ARG(R2, 0), ARG(R4, 1), ARG(R3, 2), STX(BPF_W, R10, R3, WORD),
	     MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, WORD), ARG(R5, 3), CALL(check_mtu));
	CASE(CSUM_DIFF, MEM(R1), ARG(R2, 0), ALU64_IMM(BPF_AND, R2, 0xfc), MEM(R3), ARG(R4, 1),
	     ALU64_IMM(BPF_AND, R4, 0xfc), ARG(R5, 2), CALL(csum_diff));
	if (writes)
		CASE(WRITE, LDX(BPF_W, R1, R6, data), LDX(BPF_W, R2, R6, data + 4),
		     ARG(R3, 0), ALU64_IMM(BPF_AND, R3, 255), ALU64_REG(BPF_ADD, R1, R3),
		     MOV_IMM(R0, -1), MOV_REG(R3, R1), ALU64_IMM(BPF_ADD, R3, 4),
		     JMP_REG(BPF_JGT, R3, R2, 3), ARG(R3, 1), STX(BPF_W, R1, R3, 0),
		     MOV_IMM(R0, 0));
}

/* @from up to @to, as far as @most bytes, to R3 + @at */
static void show(int from, int to, int at, int most)
{
	int i, out[SEEN / 8];

	E(LDX(BPF_W, R1, R6, from), LDX(BPF_W, R2, R6, to));
	for (i = 0; i < most / 8; i++) {
		E(MOV_REG(R4, R1), ALU64_IMM(BPF_ADD, R4, 8 * i + 8));
		out[i] = len;
		E(JMP_REG(BPF_JGT, R4, R2, 0), LDX(BPF_DW, R5, R1, 8 * i),
		  STX(BPF_DW, R3, R5, at + 8 * i));
	}
	while (i--)
		code[out[i]].off = len - out[i] - 1;
}

void player_load(struct player *p, const struct prog_type *type, bool writes, bool frags,
		 int scripts)
{
	bool is_xdp = type == &xdp;
	u32 size = sizeof(struct script) * scripts + 8;
	int meta = is_xdp ? offsetof(struct xdp_md, data_meta) :
			    offsetof(struct __sk_buff, data_meta);
	int data = is_xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = size,
		.max_entries = 1, .map_flags = BPF_F_MMAPABLE,
	};
	int loop, looks[2], ends[2], i;

	p->map = syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (p->map < 0)
		bail("a player's map: %s", strerror(errno));
	p->script = mmap(NULL, (size + 4095) & ~4095, PROT_READ | PROT_WRITE, MAP_SHARED,
			 p->map, 0);
	if (p->script == MAP_FAILED)
		bail("a player's map: mmap: %s", strerror(errno));

	len = 0;
	nr_done = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, p->map, 0));
	/* The next of many; the counter is behind them. */
	if (scripts > 1)
		E(MOV_REG(R2, R7), ALU64_IMM(BPF_ADD, R2, sizeof(struct script) * scripts),
		  MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_FETCH | BPF_ADD, R2, R1, 0),
		  ALU64_IMM(BPF_AND, R1, scripts - 1),
		  ALU64_IMM(BPF_MUL, R1, sizeof(struct script)), ALU64_REG(BPF_ADD, R7, R1));
	/* Whoever takes a script plays it: a copy of the packet that comes here does not. */
	E(MOV_IMM(R1, 0), ATOMIC(BPF_DW, BPF_XCHG, R7, R1, SCRIPT(todo)),
	  STX(BPF_DW, R10, R1, PENDING), MOV_IMM(R1, type->pass), STX(BPF_DW, R10, R1, VERDICT),
	  MOV_IMM(R8, 0));

	loop = len;
	ends[0] = len;
	E(JMP_IMM(BPF_JGE, R8, STEPS, 0), LDX(BPF_DW, R1, R10, PENDING));
	ends[1] = len;
	E(JMP_REG(BPF_JGE, R8, R1, 0), MOV_REG(R9, R8), ALU64_IMM(BPF_MUL, R9, sizeof(struct step)),
	  ALU64_REG(BPF_ADD, R9, R7), ALU64_IMM(BPF_ADD, R9, SCRIPT(step)),
	  LDX(BPF_DW, R0, R9, STEP(op)));
	if (is_xdp)
		xdp_cases();
	else
		tc_cases();
	both_cases(is_xdp, writes);
	for (i = 0; i < nr_done; i++)
		code[done[i]].off = len - done[i] - 1;

	/* What a load has read is shown already. */
	E(STX(BPF_DW, R9, R0, STEP(ret)), LDX(BPF_DW, R0, R9, STEP(op)));
	looks[0] = len;
	E(JMP_IMM(BPF_JEQ, R0, is_xdp ? XDP_LOAD : LOAD_BYTES, 0));
	looks[1] = len;
	E(JMP_IMM(BPF_JEQ, R0, LOAD_RELATIVE, 0));
	E(SHOWN(R3));
	show(meta, data, 0, META);
	show(data, data + 4, META, SEEN - META);
	code[looks[0]].off = len - looks[0] - 1;
	code[looks[1]].off = len - looks[1] - 1;
	E(ALU64_IMM(BPF_ADD, R8, 1), STX(BPF_DW, R7, R8, SCRIPT(done)), JA(loop - len - 3));

	code[ends[0]].off = len - ends[0] - 1;
	code[ends[1]].off = len - ends[1] - 1;
	E(LDX(BPF_DW, R0, R10, VERDICT), LDX(BPF_DW, R1, R7, SCRIPT(as_told)),
	  JMP_IMM(BPF_JNE, R1, 0, 1), LDX(BPF_DW, R0, R7, SCRIPT(verdict)), EXIT());

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type->type;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = len;
	attr.license = (uintptr_t)"GPL";
	attr.prog_flags = frags ? BPF_F_XDP_HAS_FRAGS : 0;
	strcpy(attr.prog_name, is_xdp ? "fuzz_xdp" : "fuzz_tc");
	p->prog = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (p->prog >= 0)
		return;
	i = errno;
	attr.log_buf = (uintptr_t)prog_log;
	attr.log_size = sizeof(prog_log);
	attr.log_level = 1;
	syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	bail("a player does not load: %s\n%s", strerror(i), prog_log);
}
