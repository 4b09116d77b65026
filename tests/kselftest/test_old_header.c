// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 timeout=120 */
/*
 * Where packets have no link header, is what generic XDP takes for one old kernel memory?
 *
 * When a program changes what would be addresses or type of a frame, the kernel pushes a
 * header. Nobody is to see what was there before, isolated or not: patch 0065.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "old_memory.h"

#define HEADER 14

static int tun_create(const char *dev)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	char command[128];

	strcpy(r.ifr_name, dev);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &r))
		bail("a tun device: %s", strerror(errno));
	snprintf(command, sizeof(command),
		 "echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6; ip link set %s up", dev, dev);
	if (system(command))
		bail("%s does not come up", dev);
	return tun;
}

/* What is the type of a frame is the source of an IPv4 packet. */
static void by_changing_the_type(void)
{
	int jump;

	start();
	jump = between(XDP_DATA, XDP_DATA_END, HEADER);
	E(ST(BPF_H, R7, 12, 0x0b0b));
	otherwise(jump);
}

static void by_loading_the_header(void)
{
	start();
	E(ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, 0), MOV_REG(R1, R6), MOV_IMM(R2, 0),
	  ADDRESS(R3, R10, -16), MOV_IMM(R4, HEADER), MOV_IMM(R5, BPF_HDR_START_MAC),
	  CALL(skb_load_bytes_relative), JMP_IMM(BPF_JEQ, R0, 0, 2));
	count(ERRORS);
	look(R10, -16, 2);
}

static void no_old_header(int tun, int level)
{
	static const u8 ip[20] = { 0x45, 0, 0, 84, [8] = 64, 254, [12] = 10, 1, 1, 1, 10, 1, 1, 2 };
	int prog, looker, map, i;
	u8 packet[84] = { 0 };

	memcpy(packet, ip, sizeof(ip));
	told = map_of_words(0);
	map = told;
	prog = load_at(&xdp, level, by_changing_the_type, xdp.pass);
	told = map_of_words(0);
	looker = load_at(&sched_cls, level, by_loading_the_header, sched_cls.safe);
	hook_attach(GENERIC_XDP, "mtot", prog);
	hook_attach(TC_INGRESS, "mtot", looker);
	for (i = 0; i < PACKETS; i++) {
		leave_secrets();
		if (write(tun, packet, sizeof(packet)) != sizeof(packet))
			bail("a packet: %s", strerror(errno));
		await_run(i);
	}
	hook_detach(TC_INGRESS, "mtot");
	hook_detach(GENERIC_XDP, "mtot");
	diag("%lu times in %lu packets, %lu errors", map_word(told, FOUND), map_word(told, RUNS),
	     map_word(told, ERRORS));
	ok(map_word(told, RUNS) == PACKETS && !map_word(told, FOUND) && !map_word(told, ERRORS) &&
	   !map_word(map, ERRORS), "level %d: no old memory before packets of tun", level);
	close(prog);
	close(looker);
	close(map);
	close(told);
}

int main(void)
{
	int level, tun;

	pin_to_cpu(0);
	tun = tun_create("mtot");
	for (level = 0; level <= 2; level++) {
		if (level && !moat_present())
			skip("no moat.ko", "level %d: old memory before packets of tun", level);
		else
			no_old_header(tun, level);
	}
	close(tun);
	return finish();
}
