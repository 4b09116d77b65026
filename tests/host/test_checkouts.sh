#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Two checkouts with different patches build in one cache at once, from a tree that only
# looks like Linux, with a compiler that only copies: does each get its own?
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export MOAT_CACHE="$scratch/cache" KERNEL_SRC="$scratch/linux" SCRATCH="$scratch"
n=0 failed=0

is() { # name, what it is, what it should be
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: '$2', not '$3'"
		failed=$((failed + 1))
	fi
}

mkdir -p "$KERNEL_SRC/kernel/bpf" "$KERNEL_SRC/init" "$KERNEL_SRC/scripts/kconfig"
printf 'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 1\nmrproper:\n' >"$KERNEL_SRC/Makefile"
echo 'nobody' >"$KERNEL_SRC/owner"
touch "$KERNEL_SRC/init/Kconfig"
printf '#!/bin/sh\n' >"$KERNEL_SRC/scripts/kconfig/merge_config.sh"
chmod +x "$KERNEL_SRC/scripts/kconfig/merge_config.sh"

# In place of scripts/kmake. The first build of the kernel lasts until the second has
# changed the tree, or waits for it.
cat >"$scratch/kmake" <<'EOT'
#!/bin/sh
tree=$1 build=$2
shift 2
config=$(dirname "$(dirname "$(readlink -f "$0")")")/config
case "$*" in
tinyconfig) cat "$config"/*.config >"$build/.config" ;;
olddefconfig) ;;
*M=*) module=${*##*M=}; cp "$tree/owner" "${module% modules}/moat.ko" ;;
*)
	mkdir -p "$build/arch/x86/boot" "$build/lib"
	echo "  CC      $(cat "$tree/owner").o"
	if mkdir "$SCRATCH/first" 2>/dev/null; then
		for i in $(seq 300); do
			[ "$(cat "$tree/owner")" = A ] || break
			! grep -q waiting "$SCRATCH/B.said" 2>/dev/null || break
			sleep 0.1
		done
	fi
	cp "$tree/owner" "$build/arch/x86/boot/bzImage"
	touch "$build/System.map" "$build/lib/test_bpf.ko" "$build/.x.cmd"
	;;
esac
EOT

checkout() { # name: with a patch that tells whose tree it is
	copy=$scratch/$1
	mkdir -p "$copy/patches/test" "$copy/moat"
	cp -r "$top/Makefile" "$top/scripts" "$top/config" "$copy/"
	cp "$scratch/kmake" "$copy/scripts/kmake"
	chmod +x "$copy/scripts/kmake"
	touch "$copy/Kbuild" "$copy/moat/main.rs"
	printf -- '--- a/owner\n+++ b/owner\n@@ -1 +1 @@\n-nobody\n+%s\n' "$1" >"$copy/patches/0001-owner.patch"
	printf -- '--- /dev/null\n+++ b/test\n@@ -0,0 +1 @@\n+%s\n' "$1" >"$copy/patches/test/0001-test.patch"
	sh -c '. "$1"; printf %s "$out"' "$copy/scripts/x" "$copy/scripts/common.sh"
}

a=$(checkout A) b=$(checkout B)
make -s -C "$scratch/A" kernel >"$scratch/A.said" 2>&1 &
for i in $(seq 600); do
	[ ! -d "$scratch/first" ] || break
	sleep 0.1
done
make -s -C "$scratch/B" kernel >"$scratch/B.said" 2>&1
status=$?
wait $!
is "one builds" $? 0
is "the other builds" $status 0
is "the kernel of one has its patches" "$(cat "$a/kernel/product/bzImage")" A
is "the module of one is for them" "$(cat "$a/kernel/product/moat.ko")" A
is "the kernel of the other has its" "$(cat "$b/kernel/product/bzImage")" B
is "the module of the other is for them" "$(cat "$b/kernel/product/moat.ko")" B
is "the log of one is its own" "$(grep -ho ' [AB]\.o' "$a/log/kernel-product.log")" " A.o"
is "the log of the other is its own" "$(grep -ho ' [AB]\.o' "$b/log/kernel-product.log")" " B.o"
is "no log is shared" "$(ls "$MOAT_CACHE/log" 2>/dev/null)" ""
is "make kernel says where the kernel is" \
	"$(grep -c "^moat: $a/kernel/product/bzImage$" "$scratch/A.said")" 1
is "make kernel says where the module is" \
	"$(grep -c "^moat: $a/kernel/product/moat.ko$" "$scratch/A.said")" 1

# Another variant, which begins as a copy of the first.
make -s -C "$scratch/A" kernel KERNEL=test >"$scratch/A.said" 2>&1
is "another variant" $? 0
is "it is found, too" "$(grep -c "^moat: $a/kernel/test/" "$scratch/A.said")" 2

# And one without patches, which begins so, too.
make -s -C "$scratch/A" kernel KERNEL=unpatched >"$scratch/A.said" 2>&1
is "a kernel without patches" $? 0
is "it has none" "$(cat "$a/kernel/unpatched/bzImage")" nobody
is "its tree has nothing that a patch made" \
	"$(diff -rq "$KERNEL_SRC" "$(cat "$a/kernel/unpatched/tree")" | grep -v ': \.moat-')" ""
is "and there is no module for it" "$(ls "$a/kernel/unpatched" | grep -c moat.ko)" 0
is "only the kernel is named" "$(grep -c "^moat: $a/kernel/unpatched/" "$scratch/A.said")" 1
is "nothing is left behind" "$(find "$MOAT_CACHE" -maxdepth 1 -name 'stage.*')" ""

# Cleaning up in one does not take the tree from under a build of the other.
tree=$(cat "$a/kernel/product/tree")
(
	flock -s 9
	"$scratch/B/scripts/clean" 2>"$scratch/B.said" 9>&- &
	for i in $(seq 300); do
		! grep -q waiting "$scratch/B.said" && [ -d "$tree" ] || break
		sleep 0.1
	done
	[ -f "$tree/owner" ] && echo kept >"$scratch/kept"
) 9>"$tree.lock"
for i in $(seq 300); do
	[ -d "$tree" ] || break
	sleep 0.1
done
is "make clean waits for a build" "$(cat "$scratch/kept")" kept
is "and cleans then" "$([ -d "$tree" ] || echo gone)" gone

# A configuration that fails.
printf '#!/bin/sh\necho "x: error: no such option" >&2\nexit 1\n' >"$scratch/A/scripts/kmake"
make -s -C "$scratch/A" kernel >"$scratch/A.said" 2>&1
is "a configuration that fails says why" "$(grep -c "^x: error: no such option" "$scratch/A.said")" 1
is "and where more is" "$(grep -c "see $a/log/config-product.log" "$scratch/A.said")" 1

echo "1..$n"
[ $failed = 0 ]
