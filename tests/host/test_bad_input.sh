#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Does the build say in one line what is wrong with what it was given?
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 passed=0 failed=0

refused() { # name, pattern, command...: fails, with one line that matches
	name=$1 pattern=$2
	shift 2
	n=$((n + 1))
	if said=$("$@" 2>&1 >/dev/null); then
		echo "not ok $n - $name: accepted"
	elif [ "$(printf '%s\n' "$said" | wc -l)" != 1 ]; then
		echo "not ok $n - $name: more than one line: $said"
	elif ! printf '%s\n' "$said" | grep -q "$pattern"; then
		echo "not ok $n - $name: '$said'"
	else
		passed=$((passed + 1))
		echo "ok $n - $name"
		return
	fi
	failed=$((failed + 1))
}

tree() { # directory, version, patchlevel: enough of one to be looked at
	mkdir -p "$1/kernel/bpf"
	printf 'VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = 1\n' "$2" "$3" >"$1/Makefile"
}

# A checkout of its own, so that a broken series breaks nothing else.
copy=$scratch/moat
mkdir -p "$copy/patches/test"
cp -r "$top/scripts" "$copy/"
cat >"$copy/patches/0001-broken.patch" <<'EOT'
--- a/Makefile
+++ b/Makefile
@@ -1,3 +1,3 @@
 there is
-no such
+such a
 line
EOT
tree "$scratch/v5.10" 5 10
tree "$scratch/v6.1" 6 1
printf 'mrproper:\n' >>"$scratch/v6.1/Makefile"
mkdir "$scratch/empty"
printf '#!/bin/sh\necho "rustc 1.99.0 (0 2026-01-01)"\n' >"$scratch/rustc"
chmod +x "$scratch/rustc"

cache=${MOAT_CACHE:-}
export MOAT_CACHE="$scratch/cache"
refused "KERNEL_SRC that is no tree" 'not a Linux source tree' \
	env KERNEL_SRC="$scratch/empty" "$copy/scripts/source" product
refused "KERNEL_SRC that is not 6.1" "not a Linux 6.1 tree (it says '5.10')" \
	env KERNEL_SRC="$scratch/v5.10" "$copy/scripts/source" product
refused "a patch that does not apply" '0001-broken.patch does not apply to Linux 6.1.1' \
	sh -c 'KERNEL_SRC=$1 "$2/scripts/source" product 2>"$1.err"; status=$?
		grep -v copying "$1.err" >&2; exit $status' sh "$scratch/v6.1" "$copy"
refused "a rustc too new" 'rustc 1.99.0: Linux 6.1 needs' \
	env RUSTC="$scratch/rustc" "$top/scripts/toolchain"
refused "no rustc" 'no rustc at /nonexistent' \
	env RUSTC=/nonexistent "$top/scripts/toolchain"
refused "a CPU model without pks" 'has no pks' env CPU=max,-pks "$top/scripts/cpu-has-pks"
refused "no such CPU model" "CPU=nonesuch: " env CPU=nonesuch "$top/scripts/cpu-has-pks"
refused "no such kernel variant" "no kernel variant 'big'" "$top/scripts/kernel" big
MOAT_CACHE=$cache
refused "no such level" 'LEVEL=7: none, 0, 1 or 2' \
	env CMD=true LEVEL=7 "$top/scripts/in-guest" product
refused "CPUS that is no number" 'CPUS=many: not a number' \
	env CMD=true CPUS=many "$top/scripts/in-guest" product
refused "too many CPUs" 'CPUS=99: ' \
	env CMD=true CPUS=99 QUIET=1 "$top/scripts/in-guest" product
refused "cycles that are no number" 'PKRS_CYCLES=few: not a number of cycles' \
	env PKRS_CYCLES=few "$top/tests/bench/run"
for t in run bochs mutants; do
	refused "an option that tests/$t does not have" "$t: '--help' is not understood" \
		"$top/tests/$t" --help
done
refused "two patterns" "run: 'inner' is not understood" "$top/tests/run" stack inner

echo "1..$n"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
