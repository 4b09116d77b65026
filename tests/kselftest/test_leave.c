// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=0,2 keys=13,0 */
/*
 * Does the kernel take the packets that programs pass on by their verdict?
 *
 * What XDP cuts off of a socket buffer, with a checksum that is yet to be computed; and
 * what has no room left in front, for the header of a neighbour. The kernel warned of
 * both, without MOAT, too: patches 0014 and 0015.
 */
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "build.h"
#include "packets.h"

#define COUNT 20
#define PAYLOAD 100

static int level;

/* Lets pass what is no datagram; to be called with R1, the context, as it came. */
static void datagrams_only(const struct prog_type *type)
{
	bool is_xdp = type == &xdp;
	int data = is_xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);

	cnt = 0;
	E(MOV_REG(R6, R1), LDX(BPF_W, R2, R6, data), LDX(BPF_W, R3, R6, data + 4),
	  MOV_REG(R4, R2), ALU64_IMM(BPF_ADD, R4, 42), JMP_REG(BPF_JGT, R4, R3, 2),
	  LDX(BPF_B, R4, R2, 23), JMP_IMM(BPF_JEQ, R4, IPPROTO_UDP, 2),
	  MOV_IMM(R0, type->pass), EXIT());
}

static int cutter(bool head, int bytes)
{
	datagrams_only(&xdp);
	E(MOV_REG(R1, R6), MOV_IMM(R2, bytes));
	if (head)
		E(CALL(xdp_adjust_head));
	else
		E(CALL(xdp_adjust_tail));
	E(MOV_IMM(R0, xdp.pass), EXIT());
	return must_load(&xdp, "leave", level);
}

/* All that comes, since what was a datagram may be none any more. */
static int redirector(int ifindex)
{
	cnt = 0;
	E(MOV_IMM(R1, ifindex), MOV_IMM(R2, 0), CALL(redirect), EXIT());
	return must_load(&sched_cls, "leave", level);
}

static void send_datagrams(const char *to)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(9),
				    .sin_addr.s_addr = inet_addr(to) };
	int s = socket(AF_INET, SOCK_DGRAM, 0), i;
	static const u8 data[PAYLOAD];

	for (i = 0; i < COUNT; i++)
		sendto(s, data, sizeof(data), 0, (void *)&addr, sizeof(addr));
	close(s);
}

/* What it was given to send, whatever became of that */
static u64 sent_by(const char *dev)
{
	static const char *const counters[] = { "packets", "errors", "dropped" };
	char path[80];
	u64 n = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_%s", dev, counters[i]);
		n += read_number(path);
	}
	return n;
}

/* Waits until all have been sent, or for so long that they will not be. */
static bool arrive(const char *dev, u64 before, u64 count)
{
	int i;

	for (i = 0; i < 100 && sent_by(dev) < before + count; i++)
		usleep(50000);
	return sent_by(dev) >= before + count;
}

/* What XDP has cut goes on to a device that has checksums computed. */
static void cut(enum hook hook, const char *dev, const char *to, bool head, int bytes,
		const char *what)
{
	int prog = cutter(head, bytes), tc = redirector(if_nametoindex("mdummy"));
	u64 before = sent_by("mdummy");

	hook_attach(hook, dev, prog);
	hook_attach(TC_INGRESS, dev, tc);
	send_datagrams(to);
	ok(arrive("mdummy", before, COUNT), "%d: %s: %s, then sent on", level, hook_name[hook],
	   what);
	hook_detach(TC_INGRESS, dev);
	hook_detach(hook, dev);
	close(prog);
	close(tc);
}

/*
 * No room in front, and a device that needs none. The packet is zeros by then, of which
 * the route leads to lo: its neighbour gives it a header, and the device sends it.
 */
static void neighbour(void)
{
	int prog;
	u64 before = sent_by("mgre");

	datagrams_only(&sched_cls);
	/* lo leaves 2 bytes in front, to which multiples of 64 come: none is left. */
	E(MOV_REG(R1, R6), MOV_IMM(R2, 1024 + 2), MOV_IMM(R3, 0), CALL(skb_change_head),
	  MOV_IMM(R1, if_nametoindex("mgre")), MOV_IMM(R2, 0), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  CALL(redirect_neigh), EXIT());
	prog = must_load(&sched_cls, "leave", level);
	hook_attach(TC_INGRESS, "lo", prog);
	send_datagrams("127.0.0.1");
	ok(arrive("mgre", before, COUNT), "%d: redirect_neigh without head room", level);
	hook_detach(TC_INGRESS, "lo");
	close(prog);
}

int main(void)
{
	level = moat_level_asked();
	sh("ip link add mdummy type dummy && ip link set mdummy up && "
	   "ethtool -K mdummy tx off >/dev/null && "
	   "ip link add mgre type gre remote 10.9.9.2 local 10.9.9.1 && ip link set mgre up");
	veth_create("mva", "mvb", 1500);
	sh("ip addr add 10.9.8.1/24 dev mva && "
	   "ip neigh replace 10.9.8.2 lladdr 02:02:02:02:02:02 dev mva");

	cut(GENERIC_XDP, "lo", "127.0.0.1", false, -(8 - 4 + PAYLOAD), "the checksum's place is cut off");
	cut(GENERIC_XDP, "lo", "127.0.0.1", false, -(8 + 20 + PAYLOAD), "all behind Ethernet is");
	cut(GENERIC_XDP, "lo", "127.0.0.1", true, 36, "what it is of begins before the packet");
	cut(NATIVE_XDP, "mvb", "10.9.8.2", false, -(8 - 4 + PAYLOAD),
	    "the checksum's place is cut off");
	cut(NATIVE_XDP, "mvb", "10.9.8.2", true, 36, "what it is of begins before the packet");
	neighbour();
	sh("ip link del mdummy; ip link del mgre");
	return finish();
}
