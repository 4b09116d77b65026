// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 keys=13,0 full=1 timeout=240 */
/*
 * Is everybody told why? What cannot be isolated says so in the log of who loads it,
 * and once in the kernel's, with what it is about and who loads it; it is counted once,
 * though loaders load it again to have a log.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "build.h"

static char log_buf[1 << 14];

/* A program, and the words that tell why it is not isolated */
struct refusal {
	const struct prog_type *type;
	const char *name, *why;
	const struct bpf_insn *insns;
	size_t cnt;
};

/* Who the kernel log says it is */
static const char *me(void)
{
	static char me[64];

	snprintf(me, sizeof(me), "of test_reasons[%d], uid 0): ", getpid());
	return me;
}

static int load(const struct refusal *r, size_t log_size)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	int fd, err;

	memset(log_buf, 0, sizeof(log_buf));
	if (log_size) {
		opts.log_buf = log_buf;
		opts.log_size = log_size;
		opts.log_level = 1;
	}
	fd = bpf_prog_load(r->type->type, r->name, "GPL", r->insns, r->cnt, &opts);
	err = errno;
	if (fd >= 0)
		close(fd);
	errno = err;
	return fd;
}

/* How often it is in the kernel log */
static int logged(const struct refusal *r, const char *what)
{
	char who[128], said[256];

	snprintf(who, sizeof(who), "moat: %s (type %s, %s", r->name, r->type->name, me());
	snprintf(said, sizeof(said), "%s: %s; kernel.moat.strict=", what, r->why);
	return kmsg_count(who, said);
}

static bool in_verifier_log(const struct refusal *r, const char *advice)
{
	char line[256];

	snprintf(line, sizeof(line), "MOAT cannot isolate this program: %s\n", r->why);
	return strstr(log_buf, line) && strstr(log_buf, advice) &&
	       strstr(log_buf, "(docs/support.md)");
}

static void look(void)
{
	if (log_buf[0])
		diag("verifier log: %s", log_buf);
	diag("kernel log: %s", kmsg_find("moat: ", NULL) ?: "nothing");
}

/* As libbpf loads it, and plainly. */
static void told(const struct refusal *r)
{
	s64 refused = moat_counter("refused"), plain = moat_counter("plain");
	char advice[64];
	int first, second;

	kmsg_mark();
	first = load(r, 0) < 0 ? errno : 0;
	second = load(r, sizeof(log_buf)) < 0 ? errno : 0;
	snprintf(advice, sizeof(advice), "kernel.moat.%s=0", r->type->name);
	if (!ok(first == EACCES && second == EACCES && in_verifier_log(r, advice),
		"%s: the verifier log has it: %s", r->name, r->why)) {
		diag("%s, %s", strerror(first), strerror(second));
		look();
	}
	if (!ok(logged(r, "refused") == 1 && kmsg_said() == 1,
		"%s: and the kernel log, once, with who it was", r->name))
		look();
	ok(moat_counter("refused") == refused + 1, "%s: it is counted once, not %ld times",
	   r->name, moat_counter("refused") - refused);

	kmsg_mark();
	moat_set_strict(false);
	first = load(r, sizeof(log_buf)) < 0 ? errno : 0;
	moat_set_strict(true);
	if (!ok(!first && in_verifier_log(r, "kernel.moat.strict=1") &&
		logged(r, "runs without isolation") == 1 &&
		moat_counter("plain") == plain + 1 && moat_counter("refused") == refused + 1,
		"%s: the same, when it runs plainly", r->name))
		look();
}

#define REFUSAL(TYPE, NAME, WHY, INSNS) \
	((struct refusal){ TYPE, NAME, WHY, INSNS, ARRAY_SIZE(INSNS) })

static int map_named(enum bpf_map_type type, const char *name, u32 key, u32 value, u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int map = bpf_map_create(type, name, key, value, 4, &opts);

	if (map < 0)
		bail("map %s: %s", name, strerror(errno));
	return map;
}

#define EARLY "was made before MOAT was to isolate anything; make it anew"

/* A map that would need pages for its values ahead of use, and has none */
static int early_map(enum bpf_map_type type, const char *name)
{
	int map;

	moat_set_level(0);
	map = map_named(type, name, 4, 8, BPF_F_NO_PREALLOC);
	moat_set_level(2);
	return map;
}

/* Looks up key 0 in @map. */
static void told_of_map(const char *name, const char *why, int map)
{
	const struct bpf_insn insns[] = {
		LOOK_UP_0(map),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	struct refusal r = REFUSAL(&xdp, name, why, insns);

	told(&r);
	close(map);
}

/* A map of maps whose values have in them a struct bpf_timer */
static int map_of_timed(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	LIBBPF_OPTS(bpf_map_create_opts, of);
	struct btf *btf = btf__new_empty();
	int integer, timer, value, map;

	integer = btf__add_int(btf, "u32", 4, 0);
	timer = btf__add_struct(btf, "bpf_timer", 16);
	btf__add_field(btf, "opaque", integer, 0, 0);
	value = btf__add_struct(btf, "timed", 24);
	btf__add_field(btf, "timer", timer, 0, 0);
	btf__add_field(btf, "n", integer, 128, 0);
	if (btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
	opts.btf_fd = btf__fd(btf);
	opts.btf_key_type_id = integer;
	opts.btf_value_type_id = value;
	map = bpf_map_create(BPF_MAP_TYPE_HASH, "timers", 4, 24, 1, &opts);
	if (map < 0)
		bail("a map with a timer: %s", strerror(errno));
	btf__free(btf);
	of.inner_map_fd = map;
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 1, &of);
	if (map < 0)
		bail("a map of maps: %s", strerror(errno));
	close(of.inner_map_fd);
	return map;
}

static void maps(void)
{
	told_of_map("no_pages", "map flows (hash) " EARLY, early_map(BPF_MAP_TYPE_HASH, "flows"));
	told_of_map("no_pages_cpu", "map flows (percpu_hash) " EARLY,
		    early_map(BPF_MAP_TYPE_PERCPU_HASH, "flows"));
	told_of_map("with_timer",
		    "map outer (array_of_maps) has maps in it with a bpf_timer in their values",
		    map_of_timed());
}

static void helpers(void)
{
	int ring = map_named(BPF_MAP_TYPE_ARRAY, "unused", 4, 8, 0);
	const struct bpf_insn asks[] = {
		CALL(get_current_task),
		MOV_IMM(R0, 2),
		EXIT(),
	}, /* The verifier takes out what cannot be reached, so that later ones move. */
	tells_task[] = {
		MOV_IMM(R3, 0),
		JMP_IMM(BPF_JEQ, R3, 0, 2),
		MOV_IMM(R3, 1),
		MOV_IMM(R3, 2),
		MOV_IMM(R1, 0),
		CALL(get_current_task),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	struct refusal r[] = {
		REFUSAL(&sched_cls, "asks",
			"insn 0: helper bpf_get_current_task: returns a kernel pointer", asks),
		REFUSAL(&xdp, "task", "insn 5: helper bpf_get_current_task: returns a kernel pointer",
			tells_task),
	};

	for (size_t i = 0; i < ARRAY_SIZE(r); i++)
		told(&r[i]);
	close(ring);
}

static void ring_buffer(void)
{
	int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "events", 0, 0, 4096, NULL);
	const struct bpf_insn insns[] = {
		LD_MAP_FD(R1, ring),
		MOV_IMM(R2, 1 << 21),
		MOV_IMM(R3, 0),
		CALL(ringbuf_reserve),
		JMP_IMM(BPF_JEQ, R0, 0, 3),
		MOV_REG(R1, R0),
		MOV_IMM(R2, 0),
		CALL(ringbuf_discard),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	struct refusal r = REFUSAL(&xdp, "ring",
				   "holds more than 1 MiB of ring buffer records and sockets at once",
				   insns);

	told(&r);
	close(ring);
}

static void kernel_function(void)
{
	static const char name[] = "bpf_kfunc_call_test_mem_len_pass1";
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) : -1;
	const struct bpf_insn insns[] = {
		ST(BPF_DW, R10, -8, 0),
		MOV_REG(R1, R10),
		ALU64_IMM(BPF_ADD, R1, -8),
		MOV_IMM(R2, 8),
		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	struct refusal r = REFUSAL(&sched_cls, "kfunc",
				   "insn 4: bpf_kfunc_call_test_mem_len_pass1: calls of kernel functions (kfuncs) are not audited",
				   insns);

	btf__free(btf);
	if (id < 0)
		skip("this kernel has no BTF", "a kernel function is named");
	else
		told(&r);
}

/* A map in a map of maps: when a program is loaded, and when it is put there. */
static void maps_of_maps(void)
{
	static const char why[] = "map inner (percpu_hash) in a map of maps " EARLY;
	int inner = early_map(BPF_MAP_TYPE_PERCPU_HASH, "inner");
	int outer, prog;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);
	s64 refused = moat_counter("refused_maps");
	u32 zero = 0;

	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 4, &opts);
	const struct bpf_insn insns[] = {
		LOOK_UP_0(outer),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	struct refusal r = REFUSAL(&xdp, "of_maps", why, insns);

	if (outer < 0 || map_update(outer, &zero, &inner))
		bail("map of maps: %s", strerror(errno));
	told(&r);

	map_delete(outer, &zero);
	prog = PROG_LOAD(xdp.type, "of_maps", insns);
	kmsg_mark();
	if (!ok(prog >= 0 && map_update(outer, &zero, &inner) && errno == EACCES &&
		kmsg_count("moat: outer (map of maps of isolated programs, changed by test_reasons[", why) == 1 &&
		moat_counter("refused_maps") == refused + 1,
		"a map that does not go into a map of maps is told of, and counted"))
		look();
	close(prog);
	close(outer);
	close(inner);
}

/* Two loads in earnest are two refusals; a log that was too short makes no third one. */
static void counts(void)
{
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		CALL(get_current_task),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	struct refusal r = REFUSAL(&xdp, "again",
				   "insn 1: helper bpf_get_current_task: returns a kernel pointer", insns);
	s64 refused = moat_counter("refused"), plain = moat_counter("plain");
	int err;

	kmsg_mark();
	load(&r, 0);
	err = load(&r, 128) < 0 ? errno : 0;
	load(&r, sizeof(log_buf));
	ok(err == ENOSPC && moat_counter("refused") == refused + 1 && logged(&r, "refused") == 1,
	   "with a log that is too short first: once (%ld)", moat_counter("refused") - refused);
	load(&r, 0);
	load(&r, 0);
	load(&r, sizeof(log_buf));
	load(&r, sizeof(log_buf));
	ok(moat_counter("refused") == refused + 4 && logged(&r, "refused") == 4,
	   "loads of their own: each (%ld)", moat_counter("refused") - refused);

	moat_set_strict(false);
	err = load(&r, 128) < 0 ? errno : 0;
	load(&r, sizeof(log_buf));
	moat_set_strict(true);
	ok(err == ENOSPC && moat_counter("plain") == plain + 1 &&
	   logged(&r, "runs without isolation") == 1,
	   "what fails for its log does not run plainly (%ld)", moat_counter("plain") - plain);
}

/* What a name has in it is no part of the log. */
static void names(void)
{
	const struct bpf_insn insns[] = { CALL(get_current_task), MOV_IMM(R0, 2), EXIT() };
	struct refusal r = REFUSAL(&xdp, "named", "", insns);
	char who[64];

	prctl(PR_SET_NAME, "a], uid 7\nmoat");
	kmsg_mark();
	load(&r, 0);
	prctl(PR_SET_NAME, "test_reasons");
	snprintf(who, sizeof(who), "moat: named (type xdp, of a???uid?7?moat[%d], uid 0): ", getpid());
	if (!ok(kmsg_count(who, "refused: ") == 1, "a command's name is shown harmless"))
		look();
}

/* Filters that ask for their interface. */
static void classic(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_IFINDEX),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };
	s64 refused = moat_counter("refused");
	int s[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
		bail("sockets: %s", strerror(errno));
	kmsg_mark();
	if (!setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		skip("none are", "a classic filter that is refused");
	else if (!ok(errno == EACCES && moat_counter("refused") == refused + 1 &&
		     kmsg_count("moat: classic filter (type socket_filter, ", me()) == 1,
		     "a classic filter, with who attached it"))
		look();
	close(s[0]);
	close(s[1]);
}

/* An array that user space can map, a queue, a Bloom filter, a ring, names of CPUs, programs */
enum { SHARED, QUEUE, BLOOM, RING, CPUS, PROGS, KINDS };

/*
 * Puts 5 where it can, 3 into the array; what was in the queue and whether the filter has
 * what was in it become values 1 and 2, and where the packet is to go value 3.
 */
static int user_of(const int *map)
{
	cnt = 0;
	E(MOV_REG(R9, R1), LD_MAP_VALUE(R6, map[SHARED], 0), LDX(BPF_DW, R1, R6, 0),
	  ALU64_IMM(BPF_ADD, R1, 3), STX(BPF_DW, R6, R1, 0),
	  LD_MAP_FD(R1, map[QUEUE]), MOV_REG(R2, R6), ALU64_IMM(BPF_ADD, R2, 8),
	  CALL(map_pop_elem), ST(BPF_DW, R10, -8, 5), LD_MAP_FD(R1, map[QUEUE]),
	  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), MOV_IMM(R3, 0), CALL(map_push_elem),
	  LD_MAP_FD(R1, map[BLOOM]), MOV_REG(R2, R6), ALU64_IMM(BPF_ADD, R2, 8),
	  CALL(map_peek_elem), STX(BPF_DW, R6, R0, 16),
	  LD_MAP_FD(R1, map[RING]), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), MOV_IMM(R3, 8),
	  MOV_IMM(R4, 0), CALL(ringbuf_output),
	  LD_MAP_FD(R1, map[CPUS]), MOV_IMM(R2, 1), MOV_IMM(R3, 0), CALL(redirect_map),
	  STX(BPF_DW, R6, R0, 24), MOV_REG(R1, R9), LD_MAP_FD(R2, map[PROGS]), MOV_IMM(R3, 0),
	  CALL(tail_call), MOV_IMM(R0, xdp.pass), EXIT());
	return prog_load(xdp.type, "user", insns, cnt);
}

/* What needs no pages of its own serves programs whenever it was made. */
static void taken_in(const int *map)
{
	u64 value[4] = { 40, 0, 1, 0 }, five = 0, nine = 9;
	s64 runs = moat_counter("runs");
	u32 zero = 0, one = 1, size = 192;
	int prog;

	map_update(map[SHARED], &zero, value);
	map_update(map[QUEUE], NULL, &nine);
	map_update(map[BLOOM], NULL, &nine);
	if (map_update(map[CPUS], &one, &size))
		diag("cpumap: %s", strerror(errno));
	prog = user_of(map);
	if (!ok(prog >= 0 && moat_layer(prog) != NONE,
		"a shared array, a queue, a filter, a ring, CPUs and programs serve isolated ones"))
		diag("%s", prog_log);
	ok(prog_run_once(prog) == xdp.pass && moat_counter("runs") == runs + 1,
	   "and it runs isolated");
	map_lookup(map[SHARED], &zero, value);
	ok(value[0] == 43 && value[1] == 9 && !value[2] && value[3] == 4 /* XDP_REDIRECT */ &&
	   !bpf_map_lookup_and_delete_elem(map[QUEUE], NULL, &five) && five == 5,
	   "with what was in them, and what it puts there (%lu, %lu, %ld, %lu; %lu)", value[0],
	   value[1], value[2], value[3], five);
	close(prog);
}

/*
 * Maps that are there when the module comes. It is loaded anew, with whatever it was
 * told before.
 */
static void made_before(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, shared, .map_flags = BPF_F_MMAPABLE);
	int keys = read_number("/proc/sys/kernel/moat/keys"), map = -1, i, kind[KINDS];
	const char *path = getenv("MOAT_KO");

	/* What was isolated goes after a grace period. */
	for (i = 0; i < 100 && system("rmmod moat 2>/dev/null"); i++)
		usleep(50000);
	map = map_named(BPF_MAP_TYPE_ARRAY, "old", 4, 8, 0);
	kind[SHARED] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "shared", 4, 32, 1, &shared);
	kind[QUEUE] = map_named(BPF_MAP_TYPE_QUEUE, "queue", 0, 8, 0);
	kind[BLOOM] = map_named(BPF_MAP_TYPE_BLOOM_FILTER, "bloom", 0, 8, 0);
	kind[RING] = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 4096, NULL);
	kind[CPUS] = map_named(BPF_MAP_TYPE_CPUMAP, "cpus", 4, 4, 0);
	kind[PROGS] = map_named(BPF_MAP_TYPE_PROG_ARRAY, "progs", 4, 4, 0);
	if (!path || moat_insmod(path))
		bail("insmod: %s", strerror(errno));
	moat_set_level(2);
	moat_set_keys(keys);
	told_of_map("old_map", "map old (array) was made before MOAT was loaded; make it anew", map);
	taken_in(kind);
	for (i = 0; i < KINDS; i++)
		close(kind[i]);
}

int main(void)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, 2), EXIT() };

	if (!moat_present())
		skip_all("no MOAT");
	moat_set_level(2);
	maps();
	helpers();
	ring_buffer();
	kernel_function();
	maps_of_maps();
	counts();
	names();
	classic();
	made_before();
	ok(prog_load(xdp.type, "good", insns, ARRAY_SIZE(insns)) >= 0,
	   "what can be isolated is");
	return finish();
}
