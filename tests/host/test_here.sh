#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Do test-here, install-here and remove-here say in one line why they do not run here, and
# leave this machine alone?
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. "$here/results.sh"

export MOAT_CACHE="$scratch/cache"
export scratch top

# In mounts of its own, as root or as who may have a user namespace
map=
[ "$(id -u)" = 0 ] || map=-r
elsewhere() { # setup, command
	unshare -m $map sh -c 'mount --make-rprivate / && eval "$1" && exec sh -c "$2"' sh "$1" "$2"
}

refused() { # name, status, pattern, setup, command
	elsewhere "$4" "$5" >"$scratch/said" 2>&1
	[ $? = "$2" ] && [ "$(wc -l <"$scratch/said")" = 1 ] && grep -q "^moat: .*$3" "$scratch/said"
	result $? "$1"
}

if ! elsewhere true true 2>/dev/null; then
	skip "in mounts of its own" "unshare is not allowed here"
	finish
	exit
fi

# Machines to refuse, made of files in the places that are looked at
grep -v '^flags' /proc/cpuinfo >"$scratch/without"
{ cat "$scratch/without"; echo 'flags : fpu smap pks'; } >"$scratch/with"
echo 'Mitigation: PTI' >"$scratch/pti"
echo 'Not affected' >"$scratch/nopti"
cpu() { echo "mount --bind $scratch/$1 /proc/cpuinfo"; }
meltdown="mount -t tmpfs none /sys/devices/system/cpu && mkdir /sys/devices/system/cpu/vulnerabilities"
pages() { echo "$meltdown && cp $scratch/$1 /sys/devices/system/cpu/vulnerabilities/meltdown"; }
modules="mount -t tmpfs none /sys/module"
good="$(cpu with) && $(pages nopti) && $modules"
check='exec "$top/tests/here" --check'

refused "no PKS" 77 "has no PKS" "$(cpu without)" "$check"
mkdir -p "$scratch/bin"
printf '#!/bin/sh\necho 1000\n' >"$scratch/bin/id"
chmod +x "$scratch/bin/id"
nobody='PATH=$scratch/bin:$PATH; export PATH;'
refused "not root" 77 "needs root" "$(cpu with)" "$nobody $check"
refused "page table isolation" 77 "boot with nopti" "$(cpu with) && $(pages pti)" "$check"
refused "moat.ko is loaded" 77 "loaded already" "$good && mkdir /sys/module/moat" "$check"
refused "no moat.ko" 77 "there is no $scratch/cache/.*/kernel/here/moat.ko: make kernel-here" \
	"$good" "$check"
: >"$scratch/moat.ko"
printf '#!/bin/sh\necho 6.1.0-other SMP mod_unload\n' >"$scratch/bin/modinfo"
chmod +x "$scratch/bin/modinfo"
refused "a module for another kernel" 77 "is for 6.1.0-other, this is $(uname -r)" "$good" \
	"$nobody rm \$scratch/bin/id; MOAT_KO=\$scratch/moat.ko $check"
printf '#!/bin/sh\necho "$(uname -r) SMP mod_unload"\n' >"$scratch/bin/modinfo"
elsewhere "$good" "PATH=\$scratch/bin:\$PATH MOAT_KO=\$scratch/moat.ko $check" >"$scratch/said" 2>&1
result $? "nothing to say of a machine that will do"
refused "a kernel without the tests" 77 "not the test kernel" \
	"$good && mount -t tmpfs none /sys/kernel/debug" \
	'PATH=$scratch/bin:$PATH MOAT_KO=$scratch/moat.ko exec "$top/tests/here" nothing'

boot="mount -t tmpfs none /boot"
refused "nothing built" 1 "there is none: make kernel-here" "$boot" 'exec "$top/scripts/install-here"'
refused "nothing installed" 1 "there is none in /boot" "$boot" 'exec "$top/scripts/remove-here"'
printf '#!/bin/sh\necho 1000\n' >"$scratch/bin/id"
chmod +x "$scratch/bin/id"
refused "not root to remove it" 1 "needs root" "$boot" "$nobody exec \"\$top/scripts/remove-here\""
refused "what runs is not removed" 1 "boot another kernel first" \
	"$boot && mkdir /boot/moat-test && uname -r >/boot/moat-test/release" \
	'exec "$top/scripts/remove-here"'
finish
