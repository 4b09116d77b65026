// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "calls.h"
#include "locks.h"
#include "timers.h"

/* What an argument is to be */
enum kind {
	NO_ARG, CTX, MEM, KEY, ITEM, SIZE, NUM, FLAGS, NETNS, TUPLE, TUPLE_SIZE, STRING, KEYS, FIFO,
	RINGS, EVENTS, REDIRECTS, PROGRAMS, OF_CGROUPS, TIMED, REC, SOCK, LOCK,
	TIMER, FUNC, WALKED, PER_CPU, DYNPTR, OWN, USER_RINGS, OF_SOCKETS, OF_CGROUP, CREATE,
};

/* What is held: HELD + 8 * this */
enum held { RECORD_HELD, SOCKET_HELD, VALUE_HELD, MAP_HELD, NOTHING };

struct helper {
	const char *name;
	u32 id;
	enum kind arg[5];
	enum held gives;
};

#define H(NAME, GIVES, ...) { #NAME, BPF_FUNC_##NAME, { __VA_ARGS__ }, GIVES }
static const struct helper helpers[] = {
	H(map_lookup_elem, VALUE_HELD, KEYS, KEY),
	H(map_update_elem, NOTHING, KEYS, KEY, ITEM, FLAGS),
	H(map_delete_elem, NOTHING, KEYS, KEY),
	H(map_lookup_percpu_elem, VALUE_HELD, PER_CPU, KEY, NUM),
	H(map_push_elem, NOTHING, FIFO, ITEM, FLAGS),
	H(map_pop_elem, NOTHING, FIFO, MEM),
	H(map_peek_elem, NOTHING, FIFO, MEM),
	H(ktime_get_ns, NOTHING), H(ktime_get_boot_ns, NOTHING), H(ktime_get_coarse_ns, NOTHING),
	H(ktime_get_tai_ns, NOTHING), H(jiffies64, NOTHING), H(get_prandom_u32, NOTHING),
	H(get_smp_processor_id, NOTHING), H(get_numa_node_id, NOTHING),
	H(trace_printk, NOTHING, STRING, SIZE, NUM, NUM, NUM),
	H(trace_vprintk, NOTHING, STRING, SIZE, MEM, SIZE),
	H(snprintf, NOTHING, MEM, SIZE, STRING, MEM, SIZE),
	H(strtol, NOTHING, STRING, SIZE, NUM, MEM),
	H(strtoul, NOTHING, STRING, SIZE, NUM, MEM),
	H(strncmp, NOTHING, STRING, SIZE, STRING),
	H(probe_read_user, NOTHING, MEM, SIZE, NUM),
	H(probe_read_user_str, NOTHING, MEM, SIZE, NUM),
	H(perf_event_output, NOTHING, CTX, EVENTS, FLAGS, MEM, SIZE),
	H(ringbuf_output, NOTHING, RINGS, MEM, SIZE, FLAGS),
	H(ringbuf_reserve, RECORD_HELD, RINGS, SIZE, FLAGS),
	H(ringbuf_submit, NOTHING, REC, FLAGS),
	H(ringbuf_discard, NOTHING, REC, FLAGS),
	H(ringbuf_query, NOTHING, RINGS, NUM),
	H(ringbuf_reserve_dynptr, NOTHING, RINGS, SIZE, FLAGS, DYNPTR),
	H(ringbuf_submit_dynptr, NOTHING, DYNPTR, FLAGS),
	H(ringbuf_discard_dynptr, NOTHING, DYNPTR, FLAGS),
	H(dynptr_from_mem, NOTHING, OWN, SIZE, FLAGS, DYNPTR),
	H(dynptr_read, NOTHING, MEM, SIZE, DYNPTR, NUM, FLAGS),
	H(dynptr_write, NOTHING, DYNPTR, NUM, MEM, SIZE, FLAGS),
	H(dynptr_data, VALUE_HELD, DYNPTR, NUM, SIZE),
	H(user_ringbuf_drain, NOTHING, USER_RINGS, FUNC, MEM, FLAGS),
	H(sk_storage_get, VALUE_HELD, OF_SOCKETS, SOCK, MEM, CREATE),
	H(sk_storage_delete, NOTHING, OF_SOCKETS, SOCK),
	H(get_local_storage, VALUE_HELD, OF_CGROUP, FLAGS),
	H(spin_lock, NOTHING, LOCK), H(spin_unlock, NOTHING, LOCK),
	H(timer_init, NOTHING, TIMER, TIMED, FLAGS),
	H(timer_set_callback, NOTHING, TIMER, FUNC),
	H(timer_start, NOTHING, TIMER, NUM, FLAGS),
	H(timer_cancel, NOTHING, TIMER),
	H(for_each_map_elem, NOTHING, WALKED, FUNC, MEM, FLAGS),
	H(loop, NOTHING, NUM, FUNC, MEM, FLAGS),
	H(tail_call, NOTHING, CTX, PROGRAMS, NUM),
	H(redirect, NOTHING, NUM, FLAGS),
	H(redirect_map, NOTHING, REDIRECTS, NUM, FLAGS),
	H(redirect_peer, NOTHING, NUM, FLAGS),
	H(redirect_neigh, NOTHING, NUM, MEM, SIZE, FLAGS),
	H(sk_lookup_tcp, SOCKET_HELD, CTX, TUPLE, TUPLE_SIZE, NETNS, FLAGS),
	H(sk_lookup_udp, SOCKET_HELD, CTX, TUPLE, TUPLE_SIZE, NETNS, FLAGS),
	H(skc_lookup_tcp, SOCKET_HELD, CTX, TUPLE, TUPLE_SIZE, NETNS, FLAGS),
	H(sk_release, NOTHING, SOCK),
	H(sk_fullsock, NOTHING, SOCK), H(tcp_sock, NOTHING, SOCK),
	H(get_listener_sock, NOTHING, SOCK),
	H(skc_to_tcp_sock, NOTHING, SOCK), H(skc_to_tcp6_sock, NOTHING, SOCK),
	H(skc_to_tcp_timewait_sock, NOTHING, SOCK), H(skc_to_tcp_request_sock, NOTHING, SOCK),
	H(skc_to_udp6_sock, NOTHING, SOCK), H(skc_to_unix_sock, NOTHING, SOCK),
	H(sk_assign, NOTHING, CTX, SOCK, FLAGS),
	H(tcp_check_syncookie, NOTHING, SOCK, MEM, SIZE, MEM, SIZE),
	H(tcp_gen_syncookie, NOTHING, SOCK, MEM, SIZE, MEM, SIZE),
	H(tcp_raw_gen_syncookie_ipv4, NOTHING, MEM, MEM, SIZE),
	H(tcp_raw_gen_syncookie_ipv6, NOTHING, MEM, MEM, SIZE),
	H(tcp_raw_check_syncookie_ipv4, NOTHING, MEM, MEM),
	H(tcp_raw_check_syncookie_ipv6, NOTHING, MEM, MEM),
	H(sk_cgroup_id, NOTHING, SOCK), H(sk_ancestor_cgroup_id, NOTHING, SOCK, NUM),
	H(get_socket_cookie, NOTHING, CTX), H(get_socket_uid, NOTHING, CTX),
	H(skb_cgroup_id, NOTHING, CTX), H(skb_ancestor_cgroup_id, NOTHING, CTX, NUM),
	H(skb_under_cgroup, NOTHING, CTX, OF_CGROUPS, NUM),
	H(get_cgroup_classid, NOTHING, CTX), H(get_route_realm, NOTHING, CTX),
	H(skb_cgroup_classid, NOTHING, CTX),
	H(fib_lookup, NOTHING, CTX, MEM, SIZE, FLAGS),
	H(check_mtu, NOTHING, CTX, NUM, MEM, NUM, FLAGS),
	H(csum_diff, NOTHING, MEM, SIZE, MEM, SIZE, NUM),
	H(skb_load_bytes, NOTHING, CTX, NUM, MEM, SIZE),
	H(skb_load_bytes_relative, NOTHING, CTX, NUM, MEM, SIZE, FLAGS),
	H(skb_store_bytes, NOTHING, CTX, NUM, MEM, SIZE, FLAGS),
	H(skb_pull_data, NOTHING, CTX, NUM), H(skb_ecn_set_ce, NOTHING, CTX),
	H(skb_get_tunnel_key, NOTHING, CTX, MEM, SIZE, FLAGS),
	H(skb_set_tunnel_key, NOTHING, CTX, MEM, SIZE, FLAGS),
	H(skb_get_tunnel_opt, NOTHING, CTX, MEM, SIZE),
	H(skb_set_tunnel_opt, NOTHING, CTX, MEM, SIZE),
	H(skb_get_xfrm_state, NOTHING, CTX, NUM, MEM, SIZE, FLAGS),
	H(skb_change_head, NOTHING, CTX, NUM, FLAGS), H(skb_change_tail, NOTHING, CTX, NUM, FLAGS),
	H(skb_adjust_room, NOTHING, CTX, NUM, NUM, FLAGS),
	H(skb_vlan_push, NOTHING, CTX, NUM, NUM), H(skb_vlan_pop, NOTHING, CTX),
	H(clone_redirect, NOTHING, CTX, NUM, FLAGS),
	H(get_hash_recalc, NOTHING, CTX), H(skb_change_type, NOTHING, CTX, NUM),
	H(xdp_adjust_head, NOTHING, CTX, NUM), H(xdp_adjust_tail, NOTHING, CTX, NUM),
	H(xdp_adjust_meta, NOTHING, CTX, NUM), H(xdp_get_buff_len, NOTHING, CTX),
	H(xdp_load_bytes, NOTHING, CTX, NUM, MEM, SIZE),
	H(xdp_store_bytes, NOTHING, CTX, NUM, MEM, SIZE),
};
const u32 nr_helpers = ARRAY_SIZE(helpers);

const char *helper_name(u32 row)
{
	return helpers[row].name;
}

/* Where the addresses of the program's functions are loaded, to be put in in the end */
static struct {
	int at, n;
} uses[64];
static int nr_uses;
/* Where the functions begin that are used, or 0 */
static int start[3];

static void function(struct calls *c, int reg)
{
	if (nr_uses == ARRAY_SIZE(uses)) {
		E(MOV_IMM(reg, 0));
		return;
	}
	uses[nr_uses].at = cnt;
	uses[nr_uses++].n = 1 + below(&c->rng, 2);
	E(LD_IMM64_RAW(reg, BPF_PSEUDO_FUNC, 0, 0));
}

static void stack(int reg, int off)
{
	E(MOV_REG(reg, R10), ALU64_IMM(BPF_ADD, reg, off));
}

static void own(int reg, int off)
{
	E(MOV_REG(reg, R7), ALU64_IMM(BPF_ADD, reg, off));
}

/* As bad as can be */
static void worst(struct calls *c, int reg)
{
	switch (below(&c->rng, 12)) {
	case 0:
	case 1:
		E(LD_IMM64(reg, c->foreign[below(&c->rng, c->nr_foreign)]));
		break;
	case 2:
		E(MOV_IMM(reg, PICK(&c->rng, 0, -1, 1, 8, 4096, -4096, 0x7fffffff, -0x7fffffff)));
		break;
	case 3:
		E(LD_IMM64(reg, any(&c->rng) >> below(&c->rng, 64)));
		break;
	case 4:
		stack(reg, PICK(&c->rng, 0, 8, 64, -1, -4, -8, -504, -512, -520, -576, -4096, 4096, 65536));
		break;
	case 5:
		own(reg, PICK(&c->rng, -8, OWN_SIZE - 1, OWN_SIZE - 4, OWN_SIZE, 1 << 20, -4096, -1));
		break;
	case 6:
		E(LD_MAP_FD(reg, c->map[below(&c->rng, MAPS)]));
		break;
	case 7:
	case 8:
		E(LDX(BPF_DW, reg, R7, RESULTS + 8 * below(&c->rng, NR_RESULTS)));
		break;
	case 9:
		E(LDX(BPF_DW, reg, R7, HELD + 8 * below(&c->rng, NOTHING)),
		  ALU64_IMM(BPF_ADD, reg, PICK(&c->rng, 0, 0, 1, 8, -8, -16, 24, 64, 4096)));
		break;
	case 10:
		function(c, reg);
		break;
	default:
		E(MOV_REG(reg, R6), ALU64_IMM(BPF_ADD, reg, PICK(&c->rng, 0, 8, -8, 256)));
	}
}

static void held(struct calls *c, int reg, enum held what)
{
	E(LDX(BPF_DW, reg, R7, HELD + 8 * what));
}

/* One of @n maps from the first on */
static void map_of(struct calls *c, int reg, enum map first, u32 n)
{
	E(LD_MAP_FD(reg, c->map[first + below(&c->rng, n)]));
}

/* In the value of an array with one entry, or of a hash, if one was found */
static void in_value(struct calls *c, int reg, enum map array, int off)
{
	if (one_in(&c->rng, 3))
		E(LDX(BPF_DW, reg, R7, HELD + 8 * VALUE_HELD), ALU64_IMM(BPF_ADD, reg, off));
	else
		E(LD_MAP_VALUE(reg, c->map[array], off));
}

/* May clobber R0 to R5 below @reg only by constants: arguments are made from the last on. */
static void argument(struct calls *c, int reg, enum kind kind)
{
	if (kind != NO_ARG && c->worst && one_in(&c->rng, c->worst)) {
		worst(c, reg);
		return;
	}
	switch (kind) {
	case NO_ARG:
		break;
	case CTX:
		E(MOV_REG(reg, R6));
		break;
	case MEM:
	case ITEM:
		if (one_in(&c->rng, 2))
			stack(reg, -256);
		else
			own(reg, SCRATCH + 8 * below(&c->rng, 64));
		break;
	case KEY:
		stack(reg, -8 * (1 + below(&c->rng, 4)));
		break;
	case SIZE:
		E(MOV_IMM(reg, PICK(&c->rng, 1, 4, 8, 12, 16, 20, 24, 28, 32, 40, 64)));
		break;
	case NUM:
		E(MOV_IMM(reg, PICK(&c->rng, 0, 0, 1, 2, 3, 4, 14, 20, 64, 1000, -4)));
		break;
	case FLAGS:
		E(MOV_IMM(reg, one_in(&c->rng, 3) ? PICK(&c->rng, 1, 2, 4, 8, 16) : 0));
		break;
	case NETNS:
		E(MOV_IMM(reg, -1));
		break;
	case TUPLE:
		own(reg, TUPLES + 16 * below(&c->rng, NR_TUPLES));
		break;
	case TUPLE_SIZE:
		E(MOV_IMM(reg, 12));
		break;
	case STRING:
		own(reg, FORMAT);
		break;
	case KEYS:
		if (one_in(&c->rng, 10))
			held(c, reg, MAP_HELD);
		else if (one_in(&c->rng, 8))
			E(LD_MAP_FD(reg, c->map[PICK(&c->rng, DEVMAP, XSKMAP, SOCKMAP, SOCKHASH)]));
		else
			map_of(c, reg, ARRAY, TIMED_HASH - ARRAY + 1);
		break;
	case WALKED:
		map_of(c, reg, ARRAY, LRU - ARRAY + 1);
		break;
	case PER_CPU:
		map_of(c, reg, PERCPU_ARRAY, 2);
		break;
	case FIFO:
		map_of(c, reg, QUEUE, 3);
		break;
	case RINGS:
		map_of(c, reg, RING, 1);
		break;
	case EVENTS:
		map_of(c, reg, PERF, 1);
		break;
	case REDIRECTS:
		map_of(c, reg, DEVMAP, 3);
		break;
	case PROGRAMS:
		map_of(c, reg, PROGS, 1);
		break;
	case OF_CGROUPS:
		map_of(c, reg, CGROUPS, 1);
		break;
	case TIMED:
		map_of(c, reg, TIMED_ARRAY, 2);
		break;
	case REC:
		held(c, reg, RECORD_HELD);
		break;
	case SOCK:
		held(c, reg, SOCKET_HELD);
		break;
	case LOCK:
		in_value(c, reg, LOCKED_ARRAY, LOCK_AT);
		break;
	case TIMER:
		in_value(c, reg, TIMED_ARRAY, TIMER_AT);
		break;
	case DYNPTR:
		stack(reg, one_in(&c->rng, 4) ? -320 : -304);
		break;
	case OWN:
		own(reg, SCRATCH + 8 * below(&c->rng, 64));
		break;
	case USER_RINGS:
		map_of(c, reg, USER_RING, 1);
		break;
	case OF_SOCKETS:
		map_of(c, reg, SK_STORAGE, 1);
		break;
	case OF_CGROUP:
		map_of(c, reg, CGROUP_STORAGE, 1);
		break;
	case CREATE:
		E(MOV_IMM(reg, one_in(&c->rng, 4) ? 0 : BPF_SK_STORAGE_GET_F_CREATE));
		break;
	case FUNC:
		function(c, reg);
	}
}

static void call(struct calls *c, u32 row)
{
	const struct helper *h = &helpers[row];
	int i;

	/* What a helper is given of what is held is not there any more, or may be. */
	for (i = 4; i >= 0; i--)
		argument(c, R1 + i, h->arg[i]);
	E(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, h->id));
	if (h->gives != NOTHING)
		E(JMP_IMM(BPF_JEQ, R0, 0, 1), STX(BPF_DW, R7, R0, HELD + 8 * h->gives));
	if (h->id != BPF_FUNC_spin_lock && h->id != BPF_FUNC_spin_unlock)
		E(STX(BPF_DW, R7, R0, RESULTS + 8 * below(&c->rng, NR_RESULTS)));
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R7, R1, COUNTS + 8 * (s16)row));
}

static void begin_calls(int own_map)
{
	int i;

	cnt = 0;
	nr_uses = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, own_map, 0));
	for (i = 1; i <= 40; i++)
		E(ST(BPF_DW, R10, -8 * i, i > 4 ? 0x40 : 0));
	/* What a run held is nothing to the next. */
	for (i = 0; i < NOTHING; i++)
		E(ST(BPF_DW, R7, HELD + 8 * i, 0));
}

/* Function 1 does nothing, 2 calls helpers itself. */
static void end_calls(struct calls *c, const struct prog_type *t)
{
	bool used[3] = {};
	int i;

	E(MOV_IMM(R0, t->pass), EXIT());
	for (i = 0; i < nr_uses; i++)
		used[uses[i].n] = true;
	start[1] = used[1] ? cnt : 0;
	if (used[1])
		E(MOV_IMM(R0, 0), EXIT());
	start[2] = used[2] ? cnt : 0;
	if (used[2])
		E(MOV_REG(R6, R2), ST(BPF_DW, R10, -8, 0), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, c->map[HASH]), CALL(map_lookup_elem),
		  JMP_IMM(BPF_JEQ, R0, 0, 2), MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0),
		  CALL(ktime_get_ns), MOV_IMM(R0, 0), EXIT());
	for (i = 0; i < nr_uses; i++)
		insns[uses[i].at].imm = start[uses[i].n] - uses[i].at - 1;
}

/* What has to have been called before */
static void before(struct calls *c, u32 row)
{
	u32 i;

	for (i = 0; i < nr_helpers; i++) {
		const enum kind *arg = helpers[row].arg;
		enum kind needs = arg[0];

		if (((needs == DYNPTR || arg[2] == DYNPTR) &&
		     helpers[i].id == (strstr(helpers[row].name, "ringbuf") ?
				       BPF_FUNC_ringbuf_reserve_dynptr : BPF_FUNC_dynptr_from_mem)) ||
		    (needs == REC && helpers[i].id == BPF_FUNC_ringbuf_reserve) ||
		    ((needs == SOCK || arg[1] == SOCK) &&
		     helpers[i].id == BPF_FUNC_sk_lookup_tcp) ||
		    (helpers[row].id == BPF_FUNC_spin_unlock && helpers[i].id == BPF_FUNC_spin_lock))
			call(c, i);
	}
}

static void after(struct calls *c, u32 row)
{
	u32 i;

	for (i = 0; i < nr_helpers; i++)
		if (helpers[row].id == BPF_FUNC_spin_lock && helpers[i].id == BPF_FUNC_spin_unlock)
			call(c, i);
}

void calls_one(struct calls *c, const struct prog_type *t, int own_map, u32 row)
{
	u32 worst = c->worst;

	c->worst = 0;
	begin_calls(own_map);
	before(c, row);
	call(c, row);
	after(c, row);
	end_calls(c, t);
	c->worst = worst;
}

void calls_random(struct calls *c, const struct prog_type *t, int own_map, const bool *may)
{
	u32 n = 1 + below(&c->rng, 10), row;

	begin_calls(own_map);
	if (one_in(&c->rng, 4)) {
		E(ST(BPF_W, R10, -8, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		  LD_MAP_FD(R1, c->map[OUTER]), CALL(map_lookup_elem),
		  STX(BPF_DW, R7, R0, HELD + 8 * MAP_HELD));
	}
	while (n--) {
		do
			row = below(&c->rng, nr_helpers);
		while (!may[row]);
		if (!one_in(&c->rng, 6))
			before(c, row);
		call(c, row);
		if (!one_in(&c->rng, 6))
			after(c, row);
	}
	end_calls(c, t);
}

void calls_tell(void)
{
	const struct bpf_insn *insn;
	u32 row;

	for (insn = insns; insn < insns + cnt; insn++) {
		for (row = 0; row < nr_helpers; row++)
			if (insn->code == (BPF_JMP | BPF_CALL) && !insn->src_reg &&
			    (u32)insn->imm == helpers[row].id)
				break;
		diag("%3ld: %02x r%d r%d %+d %#x %s", insn - insns, insn->code, insn->dst_reg,
		     insn->src_reg, insn->off, insn->imm, row < nr_helpers ? helpers[row].name : "");
	}
}

/* Types for a program's functions; one object for all programs */
static int functions_btf(u32 *main_id, u32 *function_id)
{
	static u32 ids[2];
	static int fd = -1;
	struct btf *btf;
	int word, proto;

	if (fd < 0) {
		btf = btf__new_empty();
		word = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
		proto = btf__add_func_proto(btf, word);
		ids[0] = btf__add_func(btf, "main", BTF_FUNC_STATIC, proto);
		ids[1] = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto);
		fd = btf_load(btf);
	}
	*main_id = ids[0];
	*function_id = ids[1];
	return fd;
}

int calls_load(const struct prog_type *t)
{
	union bpf_attr attr = {
		.prog_type = t->type, .insns = (uintptr_t)insns, .insn_cnt = cnt,
		.license = (uintptr_t)"GPL",
	};
	struct bpf_func_info info[3] = {};
	u32 main_id, function_id, n = 1, i;

	if (nr_uses) {
		attr.prog_btf_fd = functions_btf(&main_id, &function_id);
		info[0].type_id = main_id;
		for (i = 1; i < ARRAY_SIZE(start); i++) {
			if (!start[i])
				continue;
			info[n].type_id = function_id;
			info[n++].insn_off = start[i];
		}
		attr.func_info = (uintptr_t)info;
		attr.func_info_cnt = n;
		attr.func_info_rec_size = sizeof(info[0]);
	}
	strcpy(attr.prog_name, "calls");
	return syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}
