// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13 full=0 timeout=240 */
/*
 * Do tc and ip set up the same when what they load is isolated, with other filters and
 * actions beside it? The same frames go through each arrangement at level 0 and at level 2:
 * what passes each device, what tc and the programs' maps have counted has to be the same;
 * and at level 2 the programs are isolated and have run.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "software.h"

#define OBJ "$MOAT_OUT/kselftest/software.bpf.o"
#define IN(PRIO) "tc filter add dev swa1 ingress prio " #PRIO " "
/* As tcpdump compiles it, with all that matches in the class of the filter */
#define BYTECODE(FILTER, RET) \
	"\"$(tcpdump -s 262144 -y EN10MB -ddd " FILTER " | sed 's/^6 0 0 262144/6 0 0 " RET "/' | " \
	"tr '\\n' ,)\""

static const struct scene {
	const char *what, *set_up;
	int programs, others;	/* eBPF and classic ones that have to run */
	const char *tell;	/* more of what is seen */
} scenes[] = {
	{ "clsact: direct action, then flower and an action", .programs = 2, .set_up =
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "bpf da obj " OBJ " sec classifier/da; "
	  IN(2) "protocol arp flower arp_op request action mirred egress mirror dev swb0 pipe "
		"action gact drop; "
	  IN(3) "matchall action bpf obj " OBJ " sec action/mark pipe "
		"action mirred egress redirect dev swb0",
	  .tell = "tc -s filter show dev swa1 ingress" },
	{ "a classifier with four actions", .programs = 2, .set_up =
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "bpf obj " OBJ " sec classifier/class flowid 1:1 "
		"action skbedit mark 7 pipe action bpf obj " OBJ " sec action/mark pipe "
		"action csum ip and udp pipe action mirred egress redirect dev swb0; "
	  IN(9) "protocol all u32 match u32 0 0 action ok",
	  .tell = "tc -s filter show dev swa1 ingress" },
	{ "one action twice, by its index", .programs = 1, .set_up =
	  "tc qdisc add dev swa1 clsact; "
	  "tc actions add action bpf obj " OBJ " sec action/mark pipe index 77; "
	  IN(1) "protocol ip matchall action skbedit mark 1 pipe action bpf index 77 "
		"action vlan push id 9 pipe action mirred egress redirect dev swb0; "
	  IN(2) "protocol all matchall action bpf index 77 action mirred egress mirror dev swb0",
	  .tell = "tc -s actions ls action bpf" },
	{ "both ends of egress: clsact there, classes of HTB", .programs = 2, .set_up =
	  "tc qdisc add dev swa0 root handle 1: htb default 30; "
	  "for i in 1 20 30; do tc class add dev swa0 parent 1: classid 1:$i htb rate 10gbit; done; "
	  "tc filter add dev swa0 parent 1: prio 1 protocol all "
		"bpf obj " OBJ " sec classifier/class flowid 1:1; "
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "bpf da obj " OBJ " sec classifier/da",
	  .tell = "tc -s class show dev swa0 | sort" },
	{ "classic filters of classes", .others = 3, .set_up =
	  "tc qdisc add dev swa0 root handle 1: htb default 30; "
	  "for i in 1 20 30; do tc class add dev swa0 parent 1: classid 1:$i htb rate 10gbit; done; "
	  "f='tc filter add dev swa0 parent 1: protocol all bpf bytecode'; "
	  "$f " BYTECODE("'udp and ip[8] > 62'", "4294967295") " flowid 1:1; "
	  "$f " BYTECODE("'tcp[13] & 2 != 0 or icmp'", "65568") " flowid 1:1; "
	  "$f " BYTECODE("'ip6 or arp'", "4294967295") " flowid 1:1 action drop",
	  .tell = "tc -s class show dev swa0 | sort; tc -s filter show dev swa0" },
	{ "a classic action", .others = 1, .set_up =
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "protocol all matchall action bpf bytecode "
		BYTECODE("'udp or vlan'", "4294967295") " pipe "
		"action mirred egress redirect dev swb0",
	  .tell = "tc -s filter show dev swa1 ingress" },
	{ "native XDP", .programs = 1, .set_up =
	  "ip link set dev swa1 xdpdrv obj " OBJ " sec xdp" },
	{ "generic XDP, tc behind it", .programs = 2, .set_up =
	  "ip link set dev swa1 xdpgeneric obj " OBJ " sec xdp; "
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "bpf da obj " OBJ " sec classifier/da" },
	{ "pinned: XDP, and a classifier", .programs = 2, .set_up =
	  "ip link set dev swa1 xdpgeneric obj " OBJ " sec xdp; "
	  "tc qdisc add dev swa1 clsact; "
	  IN(1) "bpf da obj " OBJ " sec classifier/da; "
	  "for p in sw_xdp sw_da; do bpftool prog pin name $p /sys/fs/bpf/$p; done; "
	  "ip link set dev swa1 xdpgeneric off; tc filter del dev swa1 ingress; "
	  "ip link set dev swa1 xdpdrv pinned /sys/fs/bpf/sw_xdp; "
	  IN(1) "bpf da pinned /sys/fs/bpf/sw_da" },
};

/* What an arrangement does to the frames: text that the caller frees */
static char *play(const struct scene *s, int level)
{
	struct isolated ours, classic;
	char *text, *more;
	size_t size;
	FILE *to;
	int in, a, b;

	moat_set_level(level);
	sh("for i in a b; do ip link add sw${i}0 type veth peer name sw${i}1 && "
	   "ip link set sw${i}0 up && ip link set sw${i}1 up || exit; done");
	sh("set -e; %s 2>&1", s->set_up);
	in = watch("swa1");
	a = watch("swa0");
	b = watch("swb1");
	frames_send("swa0");
	/* Nothing comes later than this. */
	usleep(300000);
	to = open_memstream(&text, &size);
	watch_tell(in, "in", to);
	watch_tell(a, "a", to);
	watch_tell(b, "b", to);
	more = sh_output("{ %s; } | sed -n '/Sent/p'; "
			 "for m in $(bpftool map | sed -n 's/^\\([0-9]*\\):.*name sw_[sb].*/\\1/p'); do "
			 "bpftool -j map dump id $m; done | tr '{' '\\n' | sed 's/[]},]*$//' | sort",
			 s->tell ?: ":");
	fprintf(to, "%s\n", more);
	fclose(to);
	free(more);
	ours = isolated(" sw_");
	classic = isolated("- socket_filter - ");
	if (level)
		ok(ours.ran >= s->programs && classic.ran >= s->others,
		   "%s: %d programs and %d classic filters have run isolated, %llu times", s->what,
		   ours.ran, classic.ran, (unsigned long long)(ours.runs + classic.runs));
	else if (ours.programs + classic.programs)
		bail("%s: isolated at level 0", s->what);
	sh("ip link del swa0; ip link del swb0; tc actions flush action bpf; rm -f /sys/fs/bpf/sw_*");
	wait_for_none(" sw_");
	wait_for_none("- socket_filter - ");
	return text;
}

int main(void)
{
	size_t i;

	need_tools("tc", "ip", "bpftool", "tcpdump", NULL);
	if (!moat_present())
		skip_all("no MOAT");
	pin_to_cpu(0);
	own_network();
	for (i = 0; i < ARRAY_SIZE(scenes); i++) {
		char *was = play(&scenes[i], 0), *is = play(&scenes[i], 2);

		ok(same_text(was, is), "%s: %zu bytes of what is seen are the same", scenes[i].what,
		   strlen(was));
		free(was);
		free(is);
	}
	return finish();
}
