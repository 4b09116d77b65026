#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Does EMULATOR=bochs say what it lacks?
here=$(dirname "$(readlink -f "$0")")
top=$(dirname "$(dirname "$here")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. "$here/results.sh"

export MOAT_CACHE="$scratch/cache"
mkdir -p "$scratch/cache" "$scratch/bin"

# All programs of this machine but @..., and those of the same name in $scratch/fake
without() {
	rm -rf "$scratch/bin"
	mkdir "$scratch/bin"
	ln -s /usr/bin/* /usr/sbin/* "$scratch/bin/" 2>/dev/null
	for tool in "$@"; do rm -f "$scratch/bin/$tool"; done
}

fake() { # name, script
	rm -f "$scratch/bin/$1"
	printf '#!/bin/sh\n%s\n' "$2" >"$scratch/bin/$1"
	chmod +x "$scratch/bin/$1"
}

says() { # name, pattern: fails, and the last line of what it says matches
	PATH=$scratch/bin "$top/scripts/bochs" >"$scratch/said" 2>&1
	[ $? = 1 ] && tail -n 1 "$scratch/said" | grep -q "^moat: .*$2"
	result $? "$1"
}

for tool in mmdebstrap grub-mkrescue xorriso mformat; do
	without $tool
	says "without $tool" "EMULATOR=bochs needs.* $tool.*: apt-get install mmdebstrap"
done
without
for tool in mmdebstrap grub-mkrescue xorriso mformat; do
	[ -e "$scratch/bin/$tool" ] || fake $tool 'exit 1'
done
if [ -d /usr/lib/grub/i386-pc ]; then
	fake apt-get 'exit 0'
	says "without a mirror" "needs a Debian mirror: apt is set up with none"
	fake apt-get 'echo http://mirror.invalid/debian/'
	fake mmdebstrap 'echo "E: cannot unshare" >&2; exit 1'
	says "without root or namespaces" "cannot unpack Bochs .*root or user namespaces"
	ls "$MOAT_CACHE" | grep -q '^bochs\.[^l]'
	result $((! $?)) "and leaves nothing half unpacked"
else
	skip "without a mirror" "no grub-pc-bin"
fi
finish
