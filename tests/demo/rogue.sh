# SPDX-License-Identifier: GPL-2.0
# Second part of run: a program that a bug of the verifier lets pass writes to the kernel's
# host name. It sits on a veth pair of its own, beside the one with honest programs.
bug=/sys/kernel/debug/moat_test/bugs/CVE-2017-16995

load_rogue() { in_b ip link set b1 xdp object "$bin/xdp_rogue.o" section xdp; }

rogue() { # level
	level "$1"
	up
	attach
	pair 1 1
	if load_rogue >"$work/verifier" 2>&1; then
		fail "the verifier accepts the rogue without the bug"
	fi
	echo "without the bug: refused. The verifier says: $(grep 'unbounded\|invalid' \
		"$work/verifier" | head -1)"
	echo 1 >$bug
	load_rogue >"$work/verifier" 2>&1 || die "cannot load the rogue: $(cat "$work/verifier")"
	echo 0 >$bug
	echo "with the bug:    accepted, and attached to the interface b1"
	index=$(in_b cat /sys/class/net/b1/ifindex)
	# nodename follows sysname[0x41] in init_uts_ns
	start=$(sed -n 's/^\([0-9a-f]*\) . init_uts_ns$/\1/p' /proc/kallsyms)
	in_b "$bin/counts" "$index" target 0 "$start+41"
	in_b "$bin/counts" "$index" target 1 7265647572746e69 # "intruder", little endian
	hostname=untouched
	echo $hostname >/proc/sys/kernel/hostname

	echo "before the packet that it waits for:"
	echo "    $(in_a "$bin/traffic" ping 10.0.1.2 5) of 5 pings through it are answered," \
		"the host name is '$(cat /proc/sys/kernel/hostname)'"
	echo "demo: trigger" >/dev/kmsg
	in_a "$bin/traffic" once 10.0.1.2 6666
	sleep 1
	answered=$(in_a "$bin/traffic" ping 10.0.1.2 5)
	hostname=$(cat /proc/sys/kernel/hostname)
	dmesg | sed '1,/demo: trigger/d' | grep -i moat >"$work/report" || :
	echo "after it:"
	echo "    $answered of 5 pings through it are answered, the host name is '$hostname'"
}

if [ ! -w $bug ]; then
	say "The rogue is skipped: this kernel has no $bug (use TESTKERNEL=1)"
	return 0
fi

say "A real bug: CVE-2017-16995"
cat <<'EOT'
The verifier reads a program before it may run, and works out which values each register
can have. Until the end of 2017 it believed that moving -1 into 32 bits of a register sets all
64 of them. It sets the lower 32. Add 1 and take the upper half: the verifier expects 0, the
CPU computes 1. The rogue multiplies the way from its own memory to the kernel's host name
by that number. To the verifier this is 0 bytes away, still its own memory; on the CPU it
is the host name. A switch of this test kernel puts the bug back while the rogue is loaded.
EOT

say "The rogue, MOAT off"
rogue 0
case $hostname in intruder*) ;; *) fail "the attack does not work even unopposed" ;; esac
[ "$answered" = 5 ] || fail "the rogue's own traffic, $answered of 5"
echo "The kernel's memory was changed by a program that its verifier called safe."
down

say "The rogue, isolated"
rogue 2
[ "$hostname" = untouched ] || fail "the rogue wrote to the kernel"
[ "$answered" = 0 ] || fail "the stopped program's verdict is not drop"
[ "$(wc -l <"$work/report")" = 1 ] || fail "not one line of report but $(wc -l <"$work/report")"
echo "The verifier was just as wrong. The CPU refused the write: while the program runs, the"
echo "kernel's memory has a protection key that is closed. MOAT stopped the program, which from"
echo "now on drops what it is given, and reported:"
echo "    $(cat "$work/report")"

say "Traffic through the other programs meanwhile"
traffic "$work/meanwhile"
down
sort -o "$work/meanwhile" "$work/meanwhile"
cmp -s "$work/on" "$work/meanwhile" && echo "all counts are the same as before" ||
	fail "the counts differ: $(join "$work/on" "$work/meanwhile" | awk '$2 != $3')"
