// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "results.h"
#include "test_kernel.h"

#define MAX_MAPS 4

struct result {
	u32 retval, size, ctx_size;
	u8 data[4096], ctx[256];
	u8 out[1024];
	u32 map_size;
	u8 map[16384];
};

const struct prog_type *t;
static int out, slots;		/* a map for what the program has to tell */
static int maps[MAX_MAPS], n_maps;
static enum bpf_map_type map_types[MAX_MAPS];
static bool early;
bool with_cgroups;
int (*map_with_timer)(void);
static bool timer;
bool with_gates;
static bool gates;

void begin(void)
{
	static int timed = -1;

	E(MOV_REG(R6, R1));
	if (timer) {
		/* For programs of one kind each */
		close(timed);
		timed = map_with_timer();
		E(LD_MAP_VALUE(R1, timed, 32), CALL(timer_cancel));
	}
	E(LD_MAP_VALUE(R9, out, 0));
}

void tell(int reg)
{
	E(STX(BPF_DW, R9, reg, 8 * slots++));
	if (slots > 128)
		bail("too much to tell");
}

void tell_int(void)
{
	E(ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32));
	tell(R0);
}

void end_with(u32 verdict)
{
	E(MOV_IMM(R0, verdict), EXIT());
}

int new_map(enum bpf_map_type type, u32 key, u32 value, u32 entries)
{
	return compare_map(map_create(type, key, value, entries), type);
}

int compare_map(int fd, enum bpf_map_type type)
{
	if (fd < 0 || n_maps == MAX_MAPS)
		bail("map: %s", strerror(errno));
	map_types[n_maps] = type;
	maps[n_maps++] = fd;
	return fd;
}

bool skb_type(void)
{
	return t != &xdp;
}

bool tc_type(void)
{
	return t == &sched_cls || t == &sched_act;
}

void packet(void)
{
	if (skb_type())
		E(LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, data)),
		  LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, data_end)));
	else
		E(LDX(BPF_W, R7, R6, offsetof(struct xdp_md, data)),
		  LDX(BPF_W, R8, R6, offsetof(struct xdp_md, data_end)));
}

void need(int len)
{
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, len),
	  JMP_REG(BPF_JLE, R1, R8, 2),
	  MOV_IMM(R0, t->safe), EXIT());
}

void ends_early(void)
{
	early = true;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 64);
}

/* All keys with their values, in the order of the keys. */
static void dump(int fd, enum bpf_map_type type, struct result *r)
{
	bool percpu = type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH;
	static u8 entries[64][64 + 4096], last[64];
	int n = 0, i;
	void *prev = NULL;
	u32 take = percpu ? 8 * 40 : 3000;
	union bpf_attr attr;

	memset(entries, 0, sizeof(entries));
	while (n < 64) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = fd;
		attr.key = (uintptr_t)prev;
		attr.next_key = (uintptr_t)entries[n];
		if (syscall(__NR_bpf, BPF_MAP_GET_NEXT_KEY, &attr, sizeof(attr)))
			break;
		memcpy(last, entries[n], 64);
		prev = last;
		if (!map_lookup(fd, entries[n], entries[n] + 64))
			n++;
	}
	qsort(entries, n, sizeof(entries[0]), by_bytes);
	for (i = 0; i < n && r->map_size + 8 + take <= sizeof(r->map); i++) {
		memcpy(r->map + r->map_size, entries[i], 8);
		memcpy(r->map + r->map_size + 8, entries[i] + 64, take);
		r->map_size += 8 + take;
	}
}

static bool run_case(const struct result_case *c, struct result *r)
{
	static u8 in[PACKET];
	struct __sk_buff skb = {
		.mark = 0x11223344, .priority = 0x55667788, .wire_len = PACKET,
		.cb = { 0xa1a2a3a4, 2, 3, 0xb1b2b3b4, 5 }, .tstamp = 0x1122334455,
	};
	struct xdp_md md = { .data_end = PACKET };
	struct run run = { .data_in = in, .data_in_size = PACKET };
	u32 zero = 0;
	bool ran = false;
	int fd, i;

	for (i = 0; i < PACKET; i++)
		in[i] = i * 7 + 1;
	memcpy(in + 12, "\x08\x00\x45\x00\x00\x92\x00\x01\x00\x00\x40\x11\x00\x00"
	       "\x7f\x00\x00\x01\x7f\x00\x00\x01\x12\x34\x56\x78\x00\x7e\x00\x00", 30);

	memset(r, 0, sizeof(*r));
	cnt = slots = n_maps = 0;
	early = false;
	out = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(r->out), 1);
	c->build();
	fd = prog_load(t->type, "same", insns, cnt);
	if (fd < 0) {
		diag("%s, %s: load: %s\n%s", t->name, c->what, strerror(errno), prog_log);
		goto out;
	}
	run.data_out = r->data;
	run.data_out_size = sizeof(r->data);
	run.ctx_in = t == &xdp ? (void *)&md : &skb;
	run.ctx_in_size = t == &xdp ? sizeof(md) : sizeof(skb);
	run.ctx_out = r->ctx;
	run.ctx_out_size = sizeof(r->ctx);
	if (prog_run(fd, &run)) {
		diag("%s, %s: run: %s", t->name, c->what, strerror(errno));
		goto out;
	}
	ran = true;
	r->retval = run.retval;
	r->size = run.data_out_size;
	r->ctx_size = run.ctx_out_size;
	map_lookup(out, &zero, r->out);
	for (i = 0; i < n_maps; i++)
		dump(maps[i], map_types[i], r);
out:
	close(fd);
	close(out);
	for (i = 0; i < n_maps; i++)
		close(maps[i]);
	return ran;
}

static void differ(const char *what, const u8 *a, const u8 *b, size_t n)
{
	size_t i;

	for (i = 0; i < n && a[i] == b[i]; i++)
		;
	if (i == n)
		return;
	i &= ~7;
	diag("%s differs at %zu: %016lx at level 0, %016lx at level 2", what, i,
	     *(u64 *)(a + i), *(u64 *)(b + i));
}

static void compare(const struct result_case *c)
{
	const char *how = timer ? ", with a timer" : gates ? ", through gates" : "";
	static struct result a, b;
	s64 runs, plain;
	bool same;

	moat_set_level(0);
	if (!run_case(c, &a)) {
		ok(false, "%s: %s%s: runs at level 0", t->name, c->what, how);
		return;
	}
	/* a packet too short for the case would make it no case */
	if (a.retval == t->safe && !early)
		ok(false, "%s: %s: gets to its end at level 0", t->name, c->what);
	if (!moat_present()) {
		/* what there is to check: it computes something, twice the same */
		same = run_case(c, &b) && !memcmp(&a, &b, sizeof(a));
		ok(same, "%s: %s: the same twice at level 0", t->name, c->what);
	} else {
		moat_set_level(2);
		runs = moat_counter("runs");
		plain = moat_counter("plain");
		kmsg_mark();
		if (!run_case(c, &b)) {
			ok(false, "%s: %s%s: runs at level 2", t->name, c->what, how);
			return;
		}
		same = !memcmp(&a, &b, sizeof(a));
		ok(same && moat_counter("runs") > runs && moat_counter("plain") == plain,
		   "%s: %s%s: the same at level 0 and 2", t->name, c->what, how);
		if (moat_counter("runs") == runs || moat_counter("plain") != plain)
			diag("it was not isolated");
	}
	if (same)
		return;
	if (kmsg_find("moat: ", NULL))
		diag("%s", kmsg_find("moat: ", NULL));
	if (a.retval != b.retval || a.size != b.size || a.ctx_size != b.ctx_size)
		diag("retval %u and %u, size %u and %u, context %u and %u", a.retval, b.retval,
		     a.size, b.size, a.ctx_size, b.ctx_size);
	differ("packet", a.data, b.data, sizeof(a.data));
	differ("context", a.ctx, b.ctx, sizeof(a.ctx));
	differ("what it told", a.out, b.out, sizeof(a.out));
	differ("maps", a.map, b.map, sizeof(a.map));
}

static bool is_for_type(const struct result_case *c)
{
	if (t == &xdp)
		return c->xdp;
	if (t == &cgroup_skb)
		return c->filter && with_cgroups;
	return tc_type() ? c->tc : c->filter;
}

int compare_all(const struct result_case *cases, size_t n)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter, &cgroup_skb,
	};
	size_t i, c;

	pin_to_cpu(0);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		t = types[i];
		for (c = 0; c < n; c++)
			if (is_for_type(&cases[c])) {
				timer = false;
				compare(&cases[c]);
				timer = map_with_timer;
				if (timer)
					compare(&cases[c]);
				timer = false;
				gates = with_gates && without_loops(true);
				if (gates) {
					compare(&cases[c]);
					gates = !without_loops(false);
				}
			}
	}
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
