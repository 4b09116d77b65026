// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13 full=0 timeout=240 */
/*
 * Do IPAddressDeny=, IPAddressAllow=, IPAccounting= and filters of one's own hold as systemd
 * itself sets them up, when the programs that it loads are isolated?
 *
 * It is the first process of a container with a cgroup of its own, and has no units but those
 * here: slices and services that send datagrams to themselves, at every address there is. At
 * levels 0 and 2 the same must arrive, the same be refused, and as much be accounted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "build.h"
#include "software.h"

#define SYSTEMD "/lib/systemd/systemd"
#define UNITS "/tmp/moat_units"
#define CGROUP "/sys/fs/cgroup/moat_systemd"
#define PINNED "/sys/fs/bpf/moat_sd"

static const struct unit {
	const char *name, *says;
} services[] = {
	{ "free", "IPAccounting=yes" },
	{ "denied", "IPAccounting=yes\nIPAddressDeny=any" },
	{ "loopback", "IPAccounting=yes\nIPAddressDeny=any\nIPAddressAllow=localhost" },
	{ "some", "IPAccounting=yes\nIPAddressDeny=10.1.0.0/16 127.0.0.9 ::1" },
	{ "nested", "IPAccounting=yes\nIPAddressDeny=10.0.0.0/8 127.0.0.0/8\n"
	  "IPAddressAllow=10.1.2.0/24 127.0.0.1 127.0.0.8/29 fd00::/16" },
	{ "in_slice", "Slice=moat.slice\nIPAccounting=yes\nIPAddressDeny=127.0.0.2" },
	{ "allowed_again", "Slice=moat.slice\nIPAccounting=yes\nIPAddressAllow=127.0.0.9" },
	{ "own_filter", "IPAccounting=yes\nIPAddressDeny=127.0.0.2\n"
	  "IPIngressFilterPath=" PINNED "_in\nIPEgressFilterPath=" PINNED "_out" },
};

static const char *const addresses[] = {
	"127.0.0.1", "127.0.0.2", "127.0.0.9", "10.1.2.3", "10.1.3.3", "10.2.2.3", "::1", "fd00::1",
};

/* Sends datagrams of some lengths to itself there; says which arrive. */
static void at_address(FILE *to, const char *address)
{
	struct sockaddr_in six4 = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	bool is6 = strchr(address, ':');
	struct sockaddr *a = is6 ? (void *)&six : (void *)&six4;
	void *in = is6 ? (void *)&six.sin6_addr : (void *)&six4.sin_addr;
	socklen_t len = is6 ? sizeof(six) : sizeof(six4);
	int s, n;

	s = socket(a->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (inet_pton(a->sa_family, address, in) != 1 || bind(s, a, len) ||
	    getsockname(s, a, &len)) {
		fprintf(to, "%s: %s\n", address, strerror(errno));
		close(s);
		return;
	}
	for (n = 0; n < 5; n++) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		char data[1500] = { 0 };
		ssize_t sent = sendto(s, data, 1 + 333 * n, 0, a, len);

		fprintf(to, "%s: sent %zd (%s)", address, sent, sent < 0 ? strerror(errno) : "");
		fprintf(to, ", received %zd\n",
			poll(&p, 1, sent < 0 ? 0 : 50) == 1 ? recv(s, data, sizeof(data), 0) : -1);
	}
	close(s);
}

static int inside(const char *path)
{
	FILE *to = fopen(path, "w");
	size_t i;

	if (!to)
		return 1;
	for (i = 0; i < ARRAY_SIZE(addresses); i++)
		at_address(to, addresses[i]);
	fclose(to);
	return 0;
}

/* Denies what is longer than @most bytes. */
static void pin(const char *path, u32 attach_type, int most)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);
	int fd;

	cnt = 0;
	E(LDX(BPF_W, R1, R1, offsetof(struct __sk_buff, len)), MOV_IMM(R0, 1),
	  JMP_IMM(BPF_JLE, R1, most, 1), MOV_IMM(R0, 0), EXIT());
	fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "own", "GPL", insns, cnt, &opts);
	unlink(path);
	if (fd < 0 || bpf_obj_pin(fd, path))
		bail("%s: %s", path, strerror(errno));
	close(fd);
}

__attribute__((format(printf, 2, 3)))
static void write_unit(const char *name, const char *fmt, ...)
{
	char path[128];
	va_list args;
	FILE *f;

	snprintf(path, sizeof(path), UNITS "/%s", name);
	f = fopen(path, "w");
	if (!f)
		bail("%s: %s", path, strerror(errno));
	fprintf(f, "[Unit]\nDefaultDependencies=no\n");
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	fclose(f);
}

static void write_units(const char *self)
{
	char name[64];
	size_t i;

	sh("rm -rf " UNITS "; mkdir -p " UNITS);
	write_unit("moat.target", "%s", "");
	write_unit("moat.slice", "[Slice]\nIPAccounting=yes\nIPAddressDeny=127.0.0.9 10.1.0.0/16\n");
	for (i = 0; i < ARRAY_SIZE(services); i++) {
		snprintf(name, sizeof(name), "%s.service", services[i].name);
		write_unit(name, "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
			   "ExecStart=%s inside " UNITS "/%s.seen\n%s\n", self, services[i].name,
			   services[i].says);
	}
}

static pid_t systemd;

/* systemctl, which systemd listens to only in its container */
#define SYSTEMCTL "nsenter -t %d -p -m systemctl "

static void be_systemd(void)
{
	static char *const args[] = { SYSTEMD, "--unit=moat.target", "--show-status=no",
				      "--crash-reboot=no", NULL };
	static char *const env[] = { "container=moat", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				     "SYSTEMD_UNIT_PATH=" UNITS, "SYSTEMD_LOG_TARGET=kmsg",
				     "SYSTEMD_GENERATOR_PATH=/nonexistent", NULL };
	int null = open("/dev/null", O_RDWR);

	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL) || umount2("/sys/fs/cgroup", MNT_DETACH) ||
	    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL))
		_exit(1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	setsid();
	execve(args[0], args, env);
	_exit(1);
}

/* The first process of a container, with which all of it dies */
static void start(void)
{
	char *said;
	int i;

	sh("mkdir -p " CGROUP "; rm -rf /run/systemd");
	if (write_file(CGROUP "/cgroup.procs", "0"))
		bail(CGROUP ": %s", strerror(errno));
	systemd = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
			  SIGCHLD, NULL, NULL, NULL, NULL);
	if (!systemd)
		be_systemd();
	write_file("/sys/fs/cgroup/cgroup.procs", "0");
	for (i = 0; i < 300; i++) {
		if (waitpid(systemd, NULL, WNOHANG) == systemd)
			bail("systemd did not start");
		said = sh_output(SYSTEMCTL "is-active moat.target 2>&1 || :", systemd);
		if (!strcmp(said, "active"))
			return;
		free(said);
		usleep(100000);
	}
	bail("systemd does not answer");
}

static void stop(void)
{
	if (systemd > 0) {
		kill(systemd, SIGKILL);
		waitpid(systemd, NULL, 0);
	}
	systemd = 0;
	wait_for_none(" systemd[");
	sh("rm -f " PINNED "_*; for i in 1 2 3 4 5 6 7 8 9; do find " CGROUP
	   " -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done");
}

static char *play(int level)
{
	char *text, *more;
	struct isolated had;
	size_t size, i;
	FILE *to;

	moat_set_level(level);
	pin(PINNED "_in", BPF_CGROUP_INET_INGRESS, 700);
	pin(PINNED "_out", BPF_CGROUP_INET_EGRESS, 1100);
	start();
	to = open_memstream(&text, &size);
	for (i = 0; i < ARRAY_SIZE(services); i++) {
		const struct unit *s = &services[i];
		s64 runs = level ? moat_counter("runs") : 0;

		sh(SYSTEMCTL "start %s.service 2>&1", systemd, s->name);
		more = sh_output("cat " UNITS "/%s.seen; " SYSTEMCTL "show %s.service -p Result "
				 "-p IPIngressPackets -p IPIngressBytes -p IPEgressPackets "
				 "-p IPEgressBytes", s->name, systemd, s->name);
		fprintf(to, "%s\n%s\n", s->name, more);
		free(more);
		if (level)
			ok(moat_counter("runs") - runs >= 40, "%s: %lld runs isolated", s->name,
			   (long long)(moat_counter("runs") - runs));
	}
	more = sh_output(SYSTEMCTL "show moat.slice -p IPIngressPackets -p IPEgressBytes", systemd);
	fprintf(to, "%s\n", more);
	free(more);
	fclose(to);
	had = isolated(" systemd[");
	if (level)
		ok(had.ran >= 2 * (int)ARRAY_SIZE(services),
		   "level %d: %d of %d programs of systemd's have run isolated", level, had.ran,
		   had.programs);
	else
		ok(!had.programs, "level 0: none of systemd's programs is isolated");
	stop();
	return text;
}

int main(int argc, char **argv)
{
	char self[512] = "";
	char *was, *is, *p;
	size_t i;
	int lost = 0;

	if (argc == 3 && !strcmp(argv[1], "inside"))
		return inside(argv[2]);
	need_tools(SYSTEMD, "systemctl", "nsenter", "ip", NULL);
	if (!moat_present())
		skip_all("no MOAT");
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		bail("who am I? %s", strerror(errno));
	atexit(stop);
	own_network();
	sh("echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
	for (i = 3; i < ARRAY_SIZE(addresses); i++)
		sh("ip addr replace %s/%d dev lo", addresses[i], strchr(addresses[i], ':') ? 128 : 32);
	write_units(self);
	was = play(0);
	is = play(2);
	for (p = was; (p = strstr(p, "received -1")); p++)
		lost++;
	ok(lost > 40, "level 0: %d datagrams do not arrive", lost);
	ok(same_text(was, is), "levels 0 and 2: %zu bytes of what is seen are the same", strlen(was));
	return finish();
}
