// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,1,0 alone=1 timeout=900 */
/*
 * More than a thousand programs of mixed types on live hooks at once, each with a
 * map of its own and some with shared ones, while others come, share, pin and go.
 * Each program checks on every run that its memory is its own. None is stopped,
 * and no count is lost.
 *
 * On a test kernel rogues go after the maps, stacks and landing areas of the crowd
 * all the while, of both layers and from both; each is stopped. Some share a map
 * with others meanwhile. Without isolation they get what they want.
 *
 * Usage: test_crowd [PROGRAMS [SECONDS]]
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "moat_test.h"

#define MOST 4096
#define SHARERS 8	/* programs that share a map */
#define PAIRS 32	/* of veth devices, each with an XDP program */
#define PIN "/sys/fs/bpf/moat-crowd"

#define CPUS 4		/* that have traffic; a power of two */

/*
 * What a program keeps: how often it ran, who it is, how often that was wrong, and
 * where its map is, the one it shares, and the top of its stack on each CPU.
 */
struct own {
	u64 runs, me, wrong, at, shared_at, stack[CPUS];
};

static struct member {
	int prog, map, shared, sock;
	u32 id;
} crowd[MOST];
static int total, nr_tc, nr_shared, shared[MOST / SHARERS + 1];
static volatile bool on = true;
static u64 visits, sent;

/* Counts, and looks whether its map and its stack are as it left them. */
static int member_load(const struct prog_type *type, u32 verdict, int own, int both, u64 me)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, own, 0),
		MOV_IMM(R7, me),
		STX(BPF_DW, R10, R7, -8),
		MOV_IMM(R1, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R1, offsetof(struct own, runs)),
		LD_MAP_VALUE(R8, both, 0),
		STX(BPF_DW, R6, R6, offsetof(struct own, at)),
		STX(BPF_DW, R6, R8, offsetof(struct own, shared_at)),
		ATOMIC(BPF_DW, BPF_ADD, R8, R1, 0),
		CALL(get_smp_processor_id),
		ALU64_IMM(BPF_AND, R0, CPUS - 1),
		ALU64_IMM(BPF_LSH, R0, 3),
		ALU64_REG(BPF_ADD, R0, R6),
		STX(BPF_DW, R0, R10, offsetof(struct own, stack)),
		LDX(BPF_DW, R2, R6, offsetof(struct own, me)),
		LDX(BPF_DW, R3, R10, -8),
		MOV_IMM(R1, 1),
		JMP_REG(BPF_JNE, R2, R7, 1),
		JMP_REG(BPF_JEQ, R3, R7, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R1, offsetof(struct own, wrong)),
		MOV_IMM(R0, verdict),
		EXIT(),
	};

	return prog_load(type->type, "member", insns, ARRAY_SIZE(insns));
}

static int own_map(u64 me)
{
	struct own value = { .me = me };
	u32 zero = 0;
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(value), 1);

	if (map < 0 || map_update(map, &zero, &value))
		bail("map %llu: %s", (unsigned long long)me, strerror(errno));
	return map;
}

static u64 shared_count(int map)
{
	u32 zero = 0;
	u64 n = 0;

	map_lookup(map, &zero, &n);
	return n;
}

static int sh(const char *fmt, int a)
{
	char command[512];

	snprintf(command, sizeof(command), fmt, a, a, a, a, a, a);
	return system(command);
}

static void attach_filter(struct member *m)
{
	struct sockaddr_ll lo = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("lo"),
	};

	m->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (m->sock < 0 || setsockopt(m->sock, SOL_SOCKET, SO_ATTACH_BPF, &m->prog, sizeof(int)) ||
	    bind(m->sock, (void *)&lo, sizeof(lo)))
		bail("socket filter: %s", strerror(errno));
}

static void attach_tc(struct member *m, int i)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex("lo"),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = m->prog, .handle = 1, .priority = i + 1);
	int err = i ? 0 : bpf_tc_hook_create(&hook);

	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		bail("tc filter %d: %s", i, strerror(-err));
}

static void attach_xdp(struct member *m, int i)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "mc%d%c", i / 2, i % 2 ? 'b' : 'a');
	err = bpf_xdp_attach(if_nametoindex(name), m->prog, XDP_FLAGS_SKB_MODE, NULL);
	if (err)
		bail("xdp on %s: %s", name, strerror(-err));
}

static void enlist(int i, const struct prog_type *type)
{
	struct member *m = &crowd[i];
	u32 verdict = 0;

	if (type != &socket_filter)
		verdict = type == &xdp ? xdp.pass : (u32)TC_ACT_UNSPEC;
	if (i % SHARERS == 0) {
		shared[nr_shared] = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
		if (shared[nr_shared++] < 0)
			bail("shared map: %s", strerror(errno));
	}
	m->shared = nr_shared - 1;
	m->map = own_map(i + 1);
	m->prog = member_load(type, verdict, m->map, shared[m->shared], i + 1);
	if (m->prog < 0)
		bail("program %d: %s", i, strerror(errno));
	m->id = prog_id(m->prog);
	if (type == &xdp)
		attach_xdp(m, i);
	else if (type == &sched_cls)
		attach_tc(m, nr_tc++);
	else
		attach_filter(m);
}

/* Every second one is a socket filter, the others tc, but for those on devices. */
static void assemble(void)
{
	int i;

	for (i = 0; i < PAIRS; i++)
		if (sh("ip link add mc%da type veth peer name mc%db && ip link set mc%da up && "
		       "ip link set mc%db up", i))
			bail("veth pair %d", i);
	for (i = 0; i < total; i++) {
		enlist(i, i < 2 * PAIRS ? &xdp : i % 2 ? &sched_cls : &socket_filter);
		if ((i + 1) % 256 == 0)
			diag("%d programs attached", i + 1);
	}
}

/* Packets through lo and over every pair of devices. */
static void *traffic(void *cpu)
{
	u8 frame[64] = { [0 ... 5] = 0xff, [12] = 0x88, [13] = 0xb5 };
	int sock = socket(AF_PACKET, SOCK_RAW, 0), i, udp = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	pin_to_cpu((long)cpu);
	while (on) {
		for (i = (long)cpu; i < 2 * PAIRS && on; i += CPUS) {
			char name[16];
			struct sockaddr_ll dev = { .sll_family = AF_PACKET };

			snprintf(name, sizeof(name), "mc%d%c", i / 2, i % 2 ? 'b' : 'a');
			dev.sll_ifindex = if_nametoindex(name);
			sendto(sock, frame, sizeof(frame), 0, (void *)&dev, sizeof(dev));
		}
		sendto(udp, frame, 32, 0, (void *)&to, sizeof(to));
		__atomic_add_fetch(&sent, 1, __ATOMIC_RELAXED);
		/* Leave the CPU now and then: loads wait for grace periods. */
		usleep(2000);
	}
	close(sock);
	close(udp);
	return NULL;
}

/* Programs that come, share what others share, or what is pinned, and go. */
static void *come_and_go(void *unused)
{
	u64 n = 0;

	while (on) {
		int group = n % nr_shared, own = own_map(1), other = -1, prog;

		/* This one is not in the sums: it has no traffic. */
		if (n % 3 == 0) {
			unlink(PIN);
			if (bpf_obj_pin(own, PIN))
				bail("pin: %s", strerror(errno));
			other = bpf_obj_get(PIN);
		}
		prog = member_load(&xdp, xdp.pass, own, other >= 0 ? other : shared[group], 1);
		if (prog < 0)
			bail("a program that comes: %s", strerror(errno));
		if (n % 3 == 0) {
			/* Two programs share the pinned map for a moment. */
			int second = own_map(1);
			int sharer = member_load(&sched_act, sched_act.pass, second, other, 1);

			if (sharer < 0 || prog_run_once(sharer) != sched_act.pass ||
			    prog_run_once(prog) != xdp.pass)
				bail("a pinned map: %s", strerror(errno));
			close(sharer);
			close(second);
			close(other);
		}
		close(prog);
		close(own);
		n++;
		visits = n;
	}
	return NULL;
}

enum aim { OWN_MAP, SHARED_MAP, STACK, LANDING, AIMS };
static const char *const aim_name[] = { "map", "shared map", "stack", "landing area" };

/* Attacks by the layers of attacked and attacker, aim, and whether it writes */
static u64 attacks[3][3][AIMS][2], with_shared[3][3];
static u64 attacked, crossed, illegal_stops, moved;
static int most_keys;

static int random_below(int n)
{
	static unsigned int seed = 1;

	return rand_r(&seed) % n;
}

/* One of those that have a key now, or -1 */
static int keyed_member(void)
{
	FILE *f = fopen("/sys/kernel/debug/moat/keys", "r");
	int found = -1, n = 0, i;
	char line[1024], *at;
	u32 id;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d bound %*d %u", &id) != 1)
			continue;
		for (at = strrchr(line, ' '); at; at = strchr(at + 1, ',')) {
			id = strtoul(at + 1, NULL, 10);
			for (i = 0; i < total && crowd[i].id != id; i++)
				;
			if (i < total && random_below(++n) == 0)
				found = i;
		}
	}
	if (f)
		fclose(f);
	return found;
}

/* Somebody of @layer, if there is one; at best one that shares a map with the rogue. */
static int victim_in(enum moat_layer layer, int group)
{
	int i, m, found = random_below(total);

	for (i = 0; i < 10; i++) {
		if (layer == KEYED)
			m = keyed_member();
		else if (group >= 0 && i < 5)
			m = group * SHARERS + random_below(SHARERS);
		else
			m = random_below(total);
		if (m >= 0 && m < total && moat_layer(crowd[m].prog) == layer)
			return m;
	}
	return found;
}

/* Runs it until the balance gives it keys: what runs much gets them. */
static bool make_keyed(const struct rogue *rogue)
{
	u8 packet[64] = {};
	int i;

	for (i = 0; i < 40 && moat_layer(rogue->prog) != KEYED; i++) {
		struct run run = {
			.data_in = packet, .data_in_size = sizeof(packet), .repeat = 1000,
		};

		if (prog_run(rogue->prog, &run) || run.retval != rogue->type->pass)
			return false;
	}
	return true;
}

/* Where to, or 0 if it is not known. */
static u64 address(enum aim aim, const struct own *own)
{
	int cpu = random_below(CPUS), i;

	if (aim == OWN_MAP)
		return own->at + offsetof(struct own, me);
	if (aim == SHARED_MAP)
		return own->shared_at;
	for (i = 0; i < CPUS; i++, cpu = (cpu + 1) % CPUS) {
		if (!own->stack[cpu])
			continue;
		if (aim == STACK)
			return own->stack[cpu] - 8;
		/*
		 * Below a CPU's slots are the landing areas of the CPU before, of 96
		 * bytes. The lowest slot has 256, with all that goes into it.
		 */
		if (cpu)
			return own->stack[cpu] - 256 - 48;
	}
	return 0;
}

static struct own own_of(int map)
{
	struct own own = { 0 };
	u32 zero = 0;

	map_lookup(map, &zero, &own);
	return own;
}

/* Until they run they do not say where their things are. */
static void wait_for_all(void)
{
	u64 end = now_ns() + 60 * 1000000000ULL;
	int i;

	for (i = 0; i < total; i++)
		while (!own_of(crowd[i].map).runs && now_ns() < end)
			usleep(10000);
}

static void complain(const char *what, const struct rogue *rogue, int m, enum aim aim)
{
	if (crossed++ < 10)
		diag("%s: a %s that %s the %s of member %d", what, rogue->type->name,
		     rogue->write ? "writes" : "reads", aim_name[aim], m);
}

/* What was least attacked, of those that @own gives the address of */
static enum aim choose(u64 so_far[AIMS][2], bool write, const struct own *own, enum aim aims,
		       bool share)
{
	enum aim best = OWN_MAP, aim;

	for (aim = SHARED_MAP; aim < aims; aim++) {
		if ((aim == SHARED_MAP && share) || !address(aim, own))
			continue;
		if (so_far[aim][write] < so_far[best][write])
			best = aim;
	}
	return best;
}

/* Members need a key for what is theirs, and one for what they share; so do rogues. */
static bool possible(enum moat_layer of, enum moat_layer by)
{
	return most_keys >= (of == KEYED ? 2 : 0) + (by == KEYED ? 1 : 0);
}

static bool sharing_possible(enum moat_layer by)
{
	return by == VIEW || most_keys != 1;
}

/* The @n-th attack */
static void attack(u32 n, bool plain)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter,
	};
	enum moat_layer by = n & 1 ? KEYED : VIEW, by_after;
	enum moat_layer of = n & 2 && possible(KEYED, by) ? KEYED : VIEW, of_after;
	bool share = n % 3 == 0 && sharing_possible(by);
	int group = share ? random_below(nr_shared) : -1, m;
	const struct prog_type *type = types[random_below(ARRAY_SIZE(types))];
	struct rogue rogue = rogue_load(type, n & 4, group < 0 ? -1 : shared[group]);
	u64 where, got, word, count;
	s64 verdict, stopped;
	struct own own;
	enum aim aim;

	/* What it may do it can do. */
	if (rogue_attack(&rogue, 0) != type->pass || (!plain && by == KEYED && possible(VIEW, by) && !make_keyed(&rogue)))
		illegal_stops++;
	m = victim_in(plain ? NONE : of, group);
	own = own_of(crowd[m].map);
	of = moat_layer(crowd[m].prog);
	by = moat_layer(rogue.prog);
	/* Without isolation stacks are the kernel's, and long gone. */
	aim = choose(attacks[of][by], rogue.write, &own, plain ? STACK : AIMS,
		     crowd[m].shared == group);
	where = address(aim, &own);
	if (!own.runs || !where)
		bail("nothing is known of member %d", m);

	stopped = moat_counter("violations");
	verdict = rogue_attack(&rogue, where);
	stopped = moat_counter("violations") - stopped;
	of_after = moat_layer(crowd[m].prog);
	by_after = moat_layer(rogue.prog);
	attacked++;

	/* Members and counts have small numbers. */
	own = own_of(crowd[m].map);
	count = shared_count(shared[crowd[m].shared]);
	if (plain) {
		word = aim == OWN_MAP ? own.me : count;
		if (verdict != type->pass || !rogue_got(&rogue, &got) || !got ||
		    (rogue.write && word - ROGUE_WRITES >= UINT32_MAX))
			complain("does not succeed", &rogue, m, aim);
	} else if (verdict != type->safe || stopped != 1 || rogue_got(&rogue, NULL) ||
		   own.me != (u64)m + 1 || count >= UINT32_MAX) {
		complain("is not stopped", &rogue, m, aim);
	}
	if (of_after == of && by_after == by) {
		attacks[of][by][aim][rogue.write]++;
		with_shared[of][by] += group >= 0;
	} else {
		moved++;
	}
	rogue_close(&rogue);
}

static void *attacker(void *unused)
{
	u32 n;

	for (n = 0; on; n++)
		attack(n, false);
	return NULL;
}

/* Whether each attack was made often enough, in each combination of layers. */
static bool all_attacked(bool tell)
{
	static const enum moat_layer layers[] = { KEYED, VIEW };
	bool all = true;

	for (int i = 0; i < 4; i++) {
		enum moat_layer of = layers[i / 2], by = layers[i % 2];
		u64 sum = 0, least = UINT64_MAX;

		if (!possible(of, by))
			continue;
		for (int j = 0; j < 2 * AIMS; j++) {
			u64 n = attacks[of][by][j / 2][j % 2];

			sum += n;
			least = n < least ? n : least;
		}
		all &= least > 0 && (with_shared[of][by] > 0 || !sharing_possible(by));
		if (tell)
			diag("%s, attacked by %s: %llu attacks, each kind %llu times or more, "
			     "%llu by one that shares a map",
			     moat_layer_name[of], moat_layer_name[by], (unsigned long long)sum,
			     (unsigned long long)least, (unsigned long long)with_shared[of][by]);
	}
	return all;
}

static void count_up(void)
{
	static u64 sums[MOST / SHARERS + 1];
	int i, idle = 0, wrong = 0, lost = 0, keyed = 0, viewed = 0;
	u64 runs = 0;

	for (i = 0; i < total; i++) {
		struct own own = own_of(crowd[i].map);

		idle += own.runs == 0;
		wrong += own.wrong != 0 || own.me != (u64)i + 1;
		sums[crowd[i].shared] += own.runs;
		runs += own.runs;
		keyed += moat_layer(crowd[i].prog) == KEYED;
		viewed += moat_layer(crowd[i].prog) == VIEW;
	}
	for (i = 0; i < nr_shared; i++)
		lost += shared_count(shared[i]) != sums[i];
	diag("%llu runs, %llu packets; %d keyed, %d in views; %llu programs came and went",
	     (unsigned long long)runs, (unsigned long long)sent, keyed, viewed,
	     (unsigned long long)visits);
	ok(!idle, "all %d programs ran", total);
	ok(!wrong, "each found its own memory, every time");
	ok(!lost, "no count is lost in a shared map");
	ok(keyed + viewed == total, "all of them are isolated");
	ok(viewed > 0, "most of them in views");
}

/* The same attacks on a few members, and by rogues, that nobody isolates. */
static void plain(void)
{
	u64 before = attacked;
	pthread_t thread;
	int i;

	moat_set_level(0);
	total = 4 * SHARERS;
	nr_shared = 0;
	for (i = 0; i < total; i++)
		enlist(i, &socket_filter);
	on = true;
	pthread_create(&thread, NULL, traffic, NULL);
	wait_for_all();
	crossed = 0;
	for (i = 0; i < 32; i++)
		attack(i, true);
	on = false;
	pthread_join(thread, NULL);
	ok(!crossed, "0: %llu of %llu attacks succeed",
	   (unsigned long long)(attacked - before - crossed),
	   (unsigned long long)(attacked - before));
}

int main(int argc, char **argv)
{
	const char *kernel = getenv("MOAT_KERNEL");
	struct rlimit files = { 65536, 65536 };
	int i, seconds = argc > 2 ? atoi(argv[2]) : 20;
	pthread_t thread[CPUS + 2];
	bool rogues = test_kernel();
	s64 violations;

	/* All of them where they are attacked, unless lockdep makes that long. */
	total = argc > 1 ? atoi(argv[1]) : kernel && !strcmp(kernel, "test") ? 1024 : 256;
	if (total <= 2 * PAIRS || total > MOST) {
		fprintf(stderr, "usage: test_crowd [PROGRAMS (%d to %d) [SECONDS]]\n",
			2 * PAIRS + 1, MOST);
		return 2;
	}
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	setrlimit(RLIMIT_NOFILE, &files);
	sh("ip link set lo up", 0);
	violations = moat_counter("violations");
	assemble();
	most_keys = read_number("/proc/sys/kernel/moat/keys");
	for (i = 0; i < CPUS; i++)
		pthread_create(&thread[i], NULL, traffic, (void *)(long)i);
	pthread_create(&thread[CPUS], NULL, come_and_go, NULL);
	wait_for_all();
	if (rogues)
		pthread_create(&thread[CPUS + 1], NULL, attacker, NULL);
	/* Longer, if need be, for every attack to be made. */
	for (i = 0; i < seconds || (rogues && i < seconds + 120 && !all_attacked(false)); i++) {
		sleep(1);
		if (i % 20 == 19)
			diag("%d of %d s, %llu packets, %llu attacks", i + 1, seconds,
			     (unsigned long long)sent, (unsigned long long)attacked);
	}
	on = false;
	for (i = 0; i < CPUS + 1 + rogues; i++)
		pthread_join(thread[i], NULL);
	/* Off the hooks, so that the counts stand still. */
	sh("tc qdisc del dev lo clsact", 0);
	for (i = 0; i < PAIRS; i++)
		sh("ip link del mc%da", i);
	for (i = 0; i < total; i++)
		if (crowd[i].sock)
			close(crowd[i].sock);
	usleep(200000);
	count_up();
	violations = moat_counter("violations") - violations;
	ok(violations == (s64)attacked, "none was stopped but for %lld rogues",
	   (long long)violations);
	ok(visits > 0, "programs came and went");
	if (rogues) {
		ok(attacked && !crossed, "%llu of %llu attacks are stopped",
		   (unsigned long long)(attacked - crossed), (unsigned long long)attacked);
		ok(!illegal_stops, "no rogue is stopped before it attacks");
		ok(all_attacked(true), "each attack is made in each combination of layers");
		if (moved)
			diag("%llu more while a layer changed", (unsigned long long)moved);
		plain();
	} else {
		skip("needs the test kernel", "attacks");
	}
	unlink(PIN);
	return finish();
}
