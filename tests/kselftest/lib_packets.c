// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "packets.h"

const char *const hook_name[] = { "generic XDP", "native XDP", "tc ingress", "tc egress" };

const struct prog_type *hook_type(enum hook hook)
{
	return hook <= NATIVE_XDP ? &xdp : &sched_cls;
}

static u32 xdp_flags(enum hook hook)
{
	return hook == NATIVE_XDP ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

void hook_attach(enum hook hook, const char *dev, int prog)
{
	int ifindex = if_nametoindex(dev), err;

	if (hook_type(hook) == &xdp) {
		err = bpf_xdp_attach(ifindex, prog, xdp_flags(hook), NULL);
	} else {
		LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = ifindex,
			    .attach_point = hook == TC_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS);
		LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = 1, .priority = 1);

		err = bpf_tc_hook_create(&tc);
		if (!err || err == -EEXIST)
			err = bpf_tc_attach(&tc, &opts);
	}
	if (err)
		bail("%s on %s: %s", hook_name[hook], dev, strerror(-err));
}

void hook_detach(enum hook hook, const char *dev)
{
	int ifindex = if_nametoindex(dev);

	if (hook_type(hook) == &xdp) {
		bpf_xdp_detach(ifindex, xdp_flags(hook), NULL);
	} else {
		LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = ifindex,
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

		bpf_tc_hook_destroy(&tc);
	}
}

static char created[4][IFNAMSIZ];

static void veth_remove(char *dev)
{
	char command[96];

	snprintf(command, sizeof(command), "ip link del %s 2>/dev/null", dev);
	if (dev[0] && system(command))
		diag("%s is gone", dev);
	dev[0] = 0;
}

static void veth_remove_all(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(created); i++)
		veth_remove(created[i]);
}

/* Where the name of @dev is kept: it is no longer there. */
static char *veth_place(const char *dev)
{
	char *free = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(created); i++) {
		if (!strcmp(created[i], dev))
			veth_remove(created[i]);
		if (!free && !created[i][0])
			free = created[i];
	}
	if (!free)
		bail("more than %zu pairs of devices", ARRAY_SIZE(created));
	return free;
}

void veth_create(const char *dev, const char *peer, int mtu)
{
	char command[512], *place = veth_place(dev);
	static bool once;

	if (!once)
		atexit(veth_remove_all);
	once = true;
	/* No address and no IPv6: the devices are quiet. */
	snprintf(command, sizeof(command),
		 "ip link add %s mtu %d type veth peer name %s mtu %d && "
		 "for i in %s %s; do f=/proc/sys/net/ipv6/conf/$i/disable_ipv6; "
		 "[ ! -e $f ] || echo 1 >$f; ip link set $i up || exit 1; done",
		 dev, mtu, peer, mtu, dev, peer);
	if (system(command))
		bail("no devices %s and %s", dev, peer);
	snprintf(place, IFNAMSIZ, "%s", dev);
}

int frame_socket(const char *dev)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_TEST),
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, room = 1 << 22;

	if (s < 0 || bind(s, (void *)&to, sizeof(to)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		bail("a socket on %s: %s", dev, strerror(errno));
	return s;
}

void frame_fill(u8 *frame, size_t len, u32 seed)
{
	size_t i;

	for (i = 14; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		frame[i] = seed >> 24;
	}
	memset(frame, 0xff, 6);
	memset(frame + 6, 2, 6);
	frame[12] = ETH_P_TEST >> 8;
	frame[13] = ETH_P_TEST & 0xff;
}

bool frame_send(int s, const u8 *frame, size_t len, bool linear)
{
	struct virtio_net_hdr hdr = { .hdr_len = !linear ? 0 : len < 0xffff ? len : 0xffff };
	struct iovec io[] = { { &hdr, sizeof(hdr) }, { (void *)frame, len } };

	if (writev(s, io, 2) == (ssize_t)(sizeof(hdr) + len))
		return true;
	diag("a frame of %zu bytes is not sent: %s", len, strerror(errno));
	return false;
}

ssize_t frame_receive(int s, u8 *frame, size_t size)
{
	struct virtio_net_hdr hdr;
	struct iovec io[] = { { &hdr, sizeof(hdr) }, { frame, size } };
	struct msghdr msg = { .msg_iov = io, .msg_iovlen = 2 };
	struct pollfd p = { .fd = s, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, 1000) != 1)
		return -1;
	n = recvmsg(s, &msg, MSG_TRUNC);
	return n < (ssize_t)sizeof(hdr) ? -1 : n - (ssize_t)sizeof(hdr);
}
