// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=2 keys=13,0 full=1 timeout=200 */
/*
 * Does kernel.moat.confined do what it says, to whom it says, and no more?
 *
 * Filters that are attached while it is 1 run plainly and are listed so; those that were
 * there stay what they are, and so do the others when it is 0 again. It means nothing
 * where classic filters are left alone anyway, and nothing to eBPF programs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "jail.h"

#define SYSCTL "/proc/sys/kernel/moat/confined"

static s64 counters[4];
static const char *const counter_name[] = { "confined", "runs", "plain", "refused" };
enum { CONFINED, RUNS, PLAIN, REFUSED };

static void count(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		counters[i] = moat_counter(counter_name[i]);
}

/* What was counted since */
static s64 counted(int i)
{
	return moat_counter(counter_name[i]) - counters[i];
}

struct filter {
	int send, receive;
};

static void send_ten(const struct filter *filter)
{
	char byte;
	int n = 0;

	for (int i = 0; i < 10; i++)
		if (send(filter->send, "moat", 4, 0) != 4)
			diag("send: %s", strerror(errno));
	while (recv(filter->receive, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) == 2)
		n++;
	if (n != 10)
		diag("%d of ten packets arrived", n);
}

static struct filter attach(void)
{
	struct sock_filter insns[] = { C(BPF_LD | BPF_W | BPF_LEN, 0), RET(2) };
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };
	int s[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s) ||
	    setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		bail("attach: %s", strerror(errno));
	return (struct filter){ s[0], s[1] };
}

static void detach(const struct filter *filter)
{
	close(filter->send);
	close(filter->receive);
}

/* Takes what it says that it takes. */
static void values(void)
{
	static const char *const bad[] = { "2", "-1", "4294967296", "x", "0x", "1x", "" };
	const char *said;

	ok(read_number(SYSCTL) == 0, "0 is the default");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		kmsg_mark();
		if (!write_file(SYSCTL, "%s", bad[i]) && bad[i][0])
			diag("'%s' was written", bad[i]);
		said = kmsg_find("moat: kernel.moat.confined takes a number from 0 to 1", NULL);
		ok(read_number(SYSCTL) == 0 && (said || !bad[i][0]),
		   "'%s' is refused, and the log says what it takes", bad[i]);
	}
	kmsg_mark();
	write_file("/proc/sys/kernel/moat/budget", "0");
	ok(kmsg_find("moat: kernel.moat.budget takes a number from 1 to 60", NULL),
	   "so it says of the others");
	write_file(SYSCTL, "1");
	ok(read_number(SYSCTL) == 1, "1 is taken");
	write_file(SYSCTL, "0");
	ok(read_number(SYSCTL) == 0 && !kmsg_find("moat: kernel.moat.confined", NULL), "0 is taken");
}

static void later_ones(void)
{
	struct filter old, filter, back;
	s64 users = read_number("/sys/module/moat/refcnt");
	char line[256] = "";

	moat_set_confined(false);
	old = attach();
	ok(jail_listed("- socket_filter - 2 ", NULL) == 1, "one is isolated before");
	moat_set_confined(true);
	count();
	filter = attach();
	ok(jail_listed("- socket_filter - 2 ", NULL) == 1 &&
	   jail_listed("- socket_filter - - confined - - live ", line) == 1, "one is confined: %s", line);
	ok(counted(CONFINED) == 1 && !counted(PLAIN) && !counted(REFUSED),
	   "it is counted as that, and nothing else");
	ok(read_number("/sys/module/moat/refcnt") == users + 2, "both keep the module in use");
	send_ten(&filter);
	ok(counted(RUNS) == 0, "no run of it is isolated");
	send_ten(&old);
	ok(counted(RUNS) == 10, "each of the one before is");

	moat_set_confined(false);
	back = attach();
	send_ten(&filter);
	ok(counted(RUNS) == 10, "it stays confined when the sysctl is 0 again");
	send_ten(&back);
	ok(counted(RUNS) == 20 && jail_listed("- socket_filter - 2 ", NULL) == 2,
	   "and the next one is isolated");
	ok(counted(CONFINED) == 1, "only one was confined");
	detach(&filter);
	ok(jail_wait_listed("- socket_filter - - confined", 0), "it is listed no more once it is gone");
	detach(&old);
	detach(&back);
	ok(jail_wait_listed("- ", 0), "and so are the others");
	ok(read_number("/sys/module/moat/refcnt") == users, "nobody keeps the module");
}

static void not_asked_for(void)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, 2), EXIT() };
	struct filter filter;
	int prog, s;

	moat_set_confined(true);
	moat_set_level(0);
	count();
	filter = attach();
	send_ten(&filter);
	ok(!counted(CONFINED) && !counted(RUNS) && !jail_listed("- ", NULL),
	   "at level 0 it is neither confined nor isolated");
	detach(&filter);

	moat_set_level(2);
	count();
	prog = PROG_LOAD(socket_filter.type, "extended", insns);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	ok(prog >= 0 && moat_layer(prog) != NONE &&
	   !setsockopt(s, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)) && !counted(CONFINED),
	   "an eBPF program is isolated, as a socket's filter, too");
	close(s);
	close(prog);

	/* Each kind by its own level */
	write_file("/proc/sys/kernel/moat/socket_filter", "0");
	filter = attach();
	ok(!counted(CONFINED), "nor is one whose level is 0, while that of others is not");
	detach(&filter);
	moat_set_level(1);
	filter = attach();
	ok(counted(CONFINED) == 1 && jail_listed("- socket_filter - - confined ", NULL) == 1,
	   "at level 1 it is confined");
	detach(&filter);
	jail_wait_listed("- ", 0);
}

/* tc's, which have no socket */
static void elsewhere(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4713),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	char byte;

	moat_set_level(2);
	moat_set_confined(true);
	count();
	if (system("tc qdisc add dev lo clsact && "
		   "tc filter add dev lo ingress bpf bytecode '1,6 0 0 4294967295' "
		   "action bpf bytecode '1,6 0 0 0'"))
		diag("tc: no filter");
	ok(counted(CONFINED) == 2, "tc's filter and action are confined");
	if (bind(s, (struct sockaddr *)&to, sizeof(to)) ||
	    sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
		diag("send: %s", strerror(errno));
	ok(recv(s, &byte, 1, 0) == 1 && !counted(RUNS), "no run of them is isolated");
	if (system("tc qdisc del dev lo clsact"))
		diag("tc: not removed");
	close(s);
}

/* As many as come and go */
static void many(void)
{
	enum { MANY = 300 };
	struct filter filters[MANY];

	moat_set_confined(true);
	for (int i = 0; i < MANY; i++)
		filters[i] = attach();
	ok(jail_listed("- socket_filter - - confined - - live ", NULL) == MANY, "%d are listed", MANY);
	for (int i = 0; i < MANY; i += 2)
		detach(&filters[i]);
	ok(jail_wait_listed("- socket_filter - - confined - - live ", MANY / 2), "half of them goes");
	for (int i = 1; i < MANY; i += 2)
		detach(&filters[i]);
	ok(jail_wait_listed("- ", 0), "and the rest");
}

int main(void)
{
	if (!moat_present())
		skip_all("no moat.ko");
	moat_set_level(2);
	values();
	later_ones();
	not_asked_for();
	elsewhere();
	many();
	return finish();
}
