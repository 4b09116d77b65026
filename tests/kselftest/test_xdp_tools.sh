#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# moat-test: kernel=test levels=2 cpus=4 keys=13 full=0 timeout=300
# Do xdp-loader, xdp-filter and xdpdump of xdp-tools, as the distribution ships them, do the same
# with isolated programs? libxdp has its dispatcher call two programs of ours, each in
# the place of one of its functions, and puts another dispatcher in its place while it runs;
# xdpdump traces all three where they begin and end.
n=0
failed=0
dir=/tmp/xdp-tools
out="$MOAT_OUT/kselftest"
[ -n "$XDP_TOOLS" ] && PATH="$XDP_TOOLS/usr/sbin:$PATH" &&
	export LD_LIBRARY_PATH="$XDP_TOOLS/usr/lib/x86_64-linux-gnu" \
		LIBXDP_OBJECT_PATH="$XDP_TOOLS/usr/lib/x86_64-linux-gnu/bpf"

say() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}

if ! command -v xdp-loader >/dev/null; then
	echo "ok 1 - xdp-tools # SKIP there is no xdp-loader (package xdp-tools)"
	echo "0 passed, 0 failed, 1 skipped"
	exit 4
fi

level() {
	echo "$1" >/proc/sys/kernel/moat/xdp
}

counter() {
	cat "/sys/kernel/debug/moat/$1"
}

# Which of the peer's addresses get an answer
pings() {
	for i in 2 3 4 5; do
		ip netns exec peer ping -c 2 -i 0.2 -W 1 -I "10.9.0.$i" 10.9.0.1 2>&1 |
			sed -n "s/^2 packets transmitted, \([0-9]\) received.*/from $i: \1/p"
	done
}

seen() {
	bpftool -j map dump name "$1_seen" 2>&1 | tr -d ' \n' |
		grep -o '"formatted":{"key":[0-9]*,"value":[0-9]*}' | grep -v '"value":0' |
		sed "s/.*\"key\":\([0-9]*\),\"value\":\([0-9]*\).*/$1 saw \2 from \1/"
}

# What is attached, without what differs from one load to the next
status() {
	xdp-loader status xa 2>&1 | sed -n 's/^ *\(=>\)* *[0-9]* *\(first_drop\|second_drop\|xdp[a-z_]*\) .*/\2/p
		s/^xa *\([a-z_]*\) *\([a-z]*\) .*/xa: \1 \2/p'
}

number() {
	xdp-loader status xa | sed -n "s/^ *=> *[0-9]* *$1 *\([0-9]*\) .*/\1/p"
}

# Where each ping came, and with what verdict it left
dumped() {
	timeout -s INT 30 xdpdump -i xa -p all --rx-capture=entry,exit >$dir/dump 2>&1 &
	for _ in $(seq 100); do
		grep -q '^listening' $dir/dump && break
		sleep 0.1
	done
	pings >/dev/null
	sleep 0.5
	pkill -INT -x xdpdump
	wait $!
	sed -n 's/^[0-9.]*: \(.*packet size 98 bytes\) on .*/\1/p' $dir/dump
}

story() {
	xdp-loader load -m skb xa "$out/tools_first.bpf.o" "$out/tools_second.bpf.o" 2>&1
	echo "loaded: $?"
	status
	pings
	seen first
	seen second
	dumped
	xdp-loader unload xa -i "$(number first_drop)" 2>&1
	echo "one unloaded: $?"
	status
	pings
	xdp-loader load -m skb xa "$out/tools_first.bpf.o" 2>&1
	echo "loaded beside it: $?"
	status
	pings
	xdp-loader unload xa --all 2>&1
	echo "all unloaded: $?"
	status
	pings

	xdp-filter load -m skb xa 2>&1
	echo "filter: $?"
	xdp-filter ip 10.9.0.5 -m src 2>&1
	xdp-loader load -m skb xa "$out/tools_second.bpf.o" 2>&1
	echo "beside the filter: $?"
	status
	pings
	xdp-filter status 2>&1 | sed -n 's/^ *\(10\.9\.0\.[0-9]*\) *\([a-z,]*\) *\([0-9]*\).*/\1 \2 \3/p'
	xdp-loader unload xa --all 2>&1
	echo "all unloaded: $?"
}

mkdir -p $dir
ip netns add peer
ip link add xa type veth peer name xb netns peer
sysctl -q -w net.ipv6.conf.xa.disable_ipv6=1
ip netns exec peer sysctl -q -w net.ipv6.conf.xb.disable_ipv6=1
ip addr add 10.9.0.1/24 dev xa
ip link set xa up
ip -n peer link set lo up
ip -n peer link set xb up
for i in 2 3 4 5; do
	ip -n peer addr add "10.9.0.$i/24" dev xb
done

level 0
story >$dir/plain
rm -rf /sys/fs/bpf/xdp-filter
level 2
runs=$(counter runs)
refused=$(counter refused)
story >$dir/isolated
runs=$(($(counter runs) - runs))

grep -q 'first saw 2 from 3' $dir/plain && grep -q 'from 3: 0' $dir/plain &&
	grep -q 'first_drop()@exit\[DROP\]' $dir/plain
say $? "the programs do what they are to do, plainly"
cmp -s $dir/plain $dir/isolated
say $? "and isolated the same"
[ $failed = 0 ] || diff $dir/plain $dir/isolated | sed 's/^/# /'
[ "$runs" -gt 40 ] && [ "$(counter refused)" = "$refused" ]
say $? "isolated they were: $runs runs, nothing refused"
sed 's/^/# /' $dir/isolated | head -60
ip link del xa
echo "$((n - failed)) passed, $failed failed, 0 skipped"
exit $failed
