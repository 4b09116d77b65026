// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Do programs see of sockets as structures of the kernel's, skc_to_tcp_sock() and its kin, what
 * they see plainly: every member that is a number? Is every pointer refused, by its name?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "attack.h"
#include "socket_fields.h"
#include "socket_structs.h"
#include "sockets.h"

#define BATCH 60		/* loads of a program */
#define WHY "a member of the kernel's structure that is a pointer, or may hold one"

/* One socket of each kind for programs to find: ports are in network order. */
static struct ends ends, deferred, mptcp;
static u16 gone, tcp6_port, udp6_port;
static int unix_ends[2];

static const struct kind {
	const char *type;
	int cast, lookup;	/* 0: that of the context */
	const struct prog_type *t;
	u16 family;
} kinds[] = {
	{ "tcp_sock", BPF_FUNC_skc_to_tcp_sock, BPF_FUNC_sk_lookup_tcp, &xdp, AF_INET },
	{ "tcp6_sock", BPF_FUNC_skc_to_tcp6_sock, BPF_FUNC_skc_lookup_tcp, &sched_cls, AF_INET6 },
	{ "tcp_timewait_sock", BPF_FUNC_skc_to_tcp_timewait_sock, BPF_FUNC_skc_lookup_tcp,
	  &sched_cls, AF_INET },
	{ "tcp_request_sock", BPF_FUNC_skc_to_tcp_request_sock, BPF_FUNC_skc_lookup_tcp, &xdp,
	  AF_INET },
	{ "udp6_sock", BPF_FUNC_skc_to_udp6_sock, BPF_FUNC_sk_lookup_udp, &sched_cls, AF_INET6 },
	{ "unix_sock", BPF_FUNC_skc_to_unix_sock, 0, &socket_filter, AF_UNIX },
	{ "mptcp_sock", BPF_FUNC_skc_to_mptcp_sock, BPF_FUNC_sk_lookup_tcp, &sched_cls, AF_INET },
};

/* Those of the kind that is looked at */
static struct member *members;
static int nr_members;

static u16 port6_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	getsockname(fd, (void *)&a, &len);
	return a.sin6_port;
}

static int bound6(int type)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, type, 0);

	if (bind(fd, (void *)&a, sizeof(a)))
		bail("::1: %s", strerror(errno));
	return fd;
}

static void lookup6(int func, u16 to)
{
	for (int off = -48; off < -8; off += 4)
		E(ST(BPF_W, R10, off, off == -36 || off == -20 ? htonl(1) : 0));
	E(ST(BPF_H, R10, -14, to), MOV_REG(R1, R6), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -48),
	  MOV_IMM(R3, 36), MOV_IMM(R4, BPF_F_CURRENT_NETNS), MOV_IMM(R5, 0),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, func));
}

/* R7 = the socket, R9 = what it is as this structure; what follows is skipped if it is none. */
static int begin(const struct kind *k)
{
	begin_telling();
	if (!k->lookup)
		E(LDX(BPF_DW, R0, R6, offsetof(struct __sk_buff, sk)));
	else if (k->family == AF_INET6)
		lookup6(k->lookup, k->lookup == BPF_FUNC_sk_lookup_udp ? udp6_port : tcp6_port);
	else if (k->cast == BPF_FUNC_skc_to_tcp_timewait_sock)
		socket_lookup(k->lookup, gone, ends.port);
	else if (k->cast == BPF_FUNC_skc_to_tcp_request_sock)
		socket_lookup(k->lookup, deferred.peer, deferred.port);
	else if (k->cast == BPF_FUNC_skc_to_mptcp_sock)
		socket_lookup(k->lookup, mptcp.peer, mptcp.port);
	else
		socket_lookup(k->lookup, ends.peer, ends.port);
	or_end();
	return made(k->cast);
}

static void load_member(const struct member *m)
{
	static const int sizes[] = { [1] = BPF_B, [2] = BPF_H, [4] = BPF_W, [8] = BPF_DW };

	field(sizes[m->size], R9, m->off);
}

static void end(const struct kind *k, int skip)
{
	E(MOV_IMM(R1, 1));
	take(R1);
	to_here(skip);
	if (k->lookup)
		socket_release(R7);
	end_telling(1);
}

static s64 run_of(const struct kind *k, int fd)
{
	char byte = 1;

	if (k->lookup)
		return prog_run_once(fd);
	if (setsockopt(unix_ends[1], SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)) ||
	    send(unix_ends[0], &byte, 1, 0) != 1 ||
	    recv(unix_ends[1], &byte, 1, MSG_DONTWAIT) != 1)
		return -1;
	setsockopt(unix_ends[1], SOL_SOCKET, SO_DETACH_BPF, &fd, sizeof(fd));
	return 1;
}

/* Of up to BATCH numbers from *@from on; @is is what they are. How many there were */
static int numbers(const struct kind *k, int *from, u64 *is)
{
	int skip = begin(k), n = 0, fd;
	u64 words[WORDS];
	u32 zero = 0;
	s64 ret = -1;

	for (; *from < nr_members && n < BATCH; ++*from) {
		if (!members[*from].number)
			continue;
		load_member(&members[*from]);
		n++;
	}
	end(k, skip);
	forget();
	fd = load(k->t, "numbers", insns, cnt);
	if (fd >= 0 && (!level || moat_layer(fd) != NONE))
		ret = run_of(k, fd);
	close(fd);
	map_lookup(out, &zero, words);
	memcpy(is, words, n * sizeof(*is));
	if (ret != 1 || words[n] != 1) {
		ok(false, "%d: %s: read (%ld, %lx)", level, k->type, ret, words[n]);
		return 0;
	}
	return n;
}

/* A request has a timer, that goes off. */
static bool changes(const struct kind *k, const struct member *m)
{
	static const char *const names[] = { "num_timeout", "syncookie", "num_retrans", "flags" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (k->cast == BPF_FUNC_skc_to_tcp_request_sock && !strcmp(m->name, names[i]))
			return true;
	return false;
}

static void same(const struct kind *k)
{
	static u64 was[ARRAY_SIZE(kinds)][2][MEMBERS];
	u64 is[MEMBERS] = {}, (*at)[MEMBERS] = was[k - kinds];
	int n = 0, differ = 0, not_0 = 0, i = 0, m = -1;

	while (i < nr_members) {
		int more = numbers(k, &i, is + n);

		if (!more)
			return;
		n += more;
		while (i < nr_members && !members[i].number)
			i++;
	}
	for (i = 0; i < n; i++)
		not_0 += !!is[i];
	ok(not_0 > n / 10, "%d: %s: %d members, %d are not 0", level, k->type, n, not_0);
	if (level) {
		memcpy(at[level - 1], is, sizeof(is));
		return;
	}
	for (i = 0; i < n; i++) {
		for (m++; !members[m].number; m++)
			;
		if ((is[i] == at[0][i] && is[i] == at[1][i]) || changes(k, &members[m]))
			continue;
		diag("%s.%s, %d bytes at %d: %lx, %lx at 1, %lx at 2", k->type, members[m].name,
		     members[m].size, members[m].off, is[i], at[0][i], at[1][i]);
		differ++;
	}
	ok(!differ, "%s: the same at 0, 1 and 2", k->type);
}

/* A program that loads only this one */
static bool is_refused(const struct kind *k, const struct member *m, const char *why)
{
	int skip = begin(k), fd;
	bool refused;

	load_member(m);
	end(k, skip);
	fd = prog_load(k->t->type, "pointer", insns, cnt);
	refused = fd < 0 && errno == EACCES && strstr(prog_log, why);
	close(fd);
	if (!refused && level)
		diag("%s.%s at %d: %s", k->type, m->name, m->off, prog_log);
	return level ? refused : fd >= 0;
}

static void pointers(const struct kind *k)
{
	int wrong = 0, n = 0;
	char why[128];

	for (int i = 0; i < nr_members; i++) {
		const struct member *m = &members[i];

		/* The verifier itself looks at the first of a union. */
		if (m->number || m->size != 8 || (i && members[i - 1].off >= m->off))
			continue;
		/* Each takes a load: all of them once, of the largest */
		if (n++ % 16 && (level != 2 || k->cast != BPF_FUNC_skc_to_tcp6_sock))
			continue;
		wrong += !is_refused(k, m, WHY);
	}
	ok(n > 5 && !wrong, "%d: %s: %d pointers, and what may be one, are %s", level, k->type, n,
	   level ? "refused" : "read");
	for (int i = 0; i < nr_members; i++) {
		if (strcmp(members[i].name, "skc_prot"))
			continue;
		snprintf(why, sizeof(why), "skc_prot: %s", WHY);
		ok(is_refused(k, &members[i], why), "%d: %s: one is %s", level, k->type,
		   level ? "refused by its name" : "read");
	}
}

/* The first byte of each number that has more: a piece each */
static void many(const struct kind *k, int pieces)
{
	int skip = begin(k), n = 0, fd;

	for (int i = 0; i < nr_members && n < pieces; i++)
		if (members[i].number && members[i].size == 4 &&
		    (!i || members[i].off > members[i - 1].off)) {
			E(LDX(BPF_B, R1, R9, members[i].off));
			n++;
		}
	end(k, skip);
	fd = prog_load(k->t->type, "many", insns, cnt);
	if (level && pieces > 96)
		ok(fd < 0 && errno == EACCES &&
		   strstr(prog_log, "more than 96 pieces of the kernel's structures"),
		   "%d: %s: %d pieces are refused", level, k->type, n);
	else
		ok(fd >= 0 && n == pieces, "%d: %s: %d pieces are read", level, k->type, n);
	close(fd);
}

static void each(void)
{
	static struct member all[ARRAY_SIZE(kinds)][MEMBERS];
	static int nr[ARRAY_SIZE(kinds)];

	bypass_verifier(false);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!nr[i])
			nr[i] = members_of(kinds[i].type, all[i]);
		members = all[i];
		nr_members = nr[i];
		same(&kinds[i]);
		pointers(&kinds[i]);
		if (kinds[i].cast == BPF_FUNC_skc_to_tcp6_sock) {
			many(&kinds[i], 96);
			many(&kinds[i], 97);
		}
	}
	bypass_verifier(true);
}

int main(void)
{
	static struct member some[MEMBERS];
	int seconds = 60, fd;
	struct ends other;

	if (!members_of("tcp_sock", some))
		skip_all("this kernel has no BTF");
	socket_ends(&ends);
	/* Who closes first waits. */
	socket_connect(&ends, &other);
	gone = other.peer;
	close(other.end);
	usleep(20 * 1000);
	close(other.client);
	socket_listen(&deferred, 0);
	setsockopt(deferred.listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	socket_begin(&deferred, 0);
	socket_listen(&mptcp, IPPROTO_MPTCP);
	socket_begin(&mptcp, IPPROTO_MPTCP);
	mptcp.end = accept(mptcp.listener, NULL, NULL);
	fd = bound6(SOCK_STREAM);
	tcp6_port = port6_of(fd);
	udp6_port = port6_of(bound6(SOCK_DGRAM));
	if (listen(fd, 4) || socketpair(AF_UNIX, SOCK_DGRAM, 0, unix_ends))
		bail("listen: %s", strerror(errno));
	usleep(50 * 1000);
	out = array_of(8 * WORDS);
	return at_all_levels(each);
}
