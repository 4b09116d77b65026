# SPDX-License-Identifier: GPL-2.0
# Second part of run: a program no verifier would pass writes to the kernel's host
# name. It sits on a veth pair of its own, beside the one with honest programs.

rogue() { # level
	level "$1"
	up
	attach
	pair 1 1
	echo 1 >$bypass
	in_b ip link set b1 xdp object "$bin/xdp_rogue.o" section xdp || die "cannot load the rogue"
	echo 0 >$bypass
	index=$(in_b cat /sys/class/net/b1/ifindex)
	# nodename follows sysname[0x41] in init_uts_ns
	start=$(sed -n 's/^\([0-9a-f]*\) . init_uts_ns$/\1/p' /proc/kallsyms)
	in_b "$bin/counts" "$index" target 0 "$start+41"
	in_b "$bin/counts" "$index" target 1 7265647572746e69 # "intruder", little endian
	hostname=untouched
	echo $hostname >/proc/sys/kernel/hostname

	echo "before: $(in_a "$bin/traffic" ping 10.0.1.2 5) of 5 pings through the rogue answered"
	echo "demo: trigger" >/dev/kmsg
	in_a "$bin/traffic" once 10.0.1.2 6666
	sleep 1
	answered=$(in_a "$bin/traffic" ping 10.0.1.2 5)
	hostname=$(cat /proc/sys/kernel/hostname)
	dmesg | sed '1,/demo: trigger/d' | grep -i moat >"$work/report" || :
	echo "after:  $answered of 5 pings through the rogue answered, the host name is '$hostname'"
}

if [ ! -w $bypass ]; then
	say "The rogue is skipped: this kernel has no $bypass (use TESTKERNEL=1)"
	return 0
fi

say "A rogue XDP program, MOAT off"
rogue 0
case $hostname in intruder*) ;; *) fail "the attack does not work even unopposed" ;; esac
[ "$answered" = 5 ] || fail "the rogue's own traffic, $answered of 5"
down

say "The same, isolated"
rogue 2
[ "$hostname" = untouched ] || fail "the rogue wrote to the kernel"
[ "$answered" = 0 ] || fail "the stopped program's verdict is not drop"
[ "$(wc -l <"$work/report")" = 1 ] || fail "not one line of report but $(wc -l <"$work/report")"
echo "report: $(cat "$work/report")"

say "Traffic through the other programs meanwhile"
traffic "$work/meanwhile"
down
sort -o "$work/meanwhile" "$work/meanwhile"
cmp -s "$work/on" "$work/meanwhile" && echo "all counts are the same as before" ||
	fail "the counts differ: $(join "$work/on" "$work/meanwhile" | awk '$2 != $3')"
