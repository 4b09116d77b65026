#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# When a build fails, is what it died of on the screen, and nothing that only looks like it?
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 passed=0 failed=0

result() { # ok or what is wrong, name
	n=$((n + 1))
	if [ "$1" = ok ]; then
		passed=$((passed + 1))
		echo "ok $n - $2"
	else
		failed=$((failed + 1))
		echo "not ok $n - $2: $1"
		sed 's/^/#   /' "$scratch/said"
	fi
}

# What a kernel's build prints, and what a search for `error` finds in it.
cat >"$scratch/noise" <<'EOT'
make[1]: Entering directory '/build'
  CC      /build/tools/objtool/libsubcmd/str_error_r.o
  CC [M]  lib/error-inject.o
  AS      arch/x86/lib/error_copy.o
Debian clang version 14.0.6 -Werror
checking for error() ... yes
warning: ignored: 3 errors were corrected in config
EOT
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo "  CC      fs/error_$i.o"; done >>"$scratch/noise"
noise='error_[a-z0-9]*\.o\|error-inject\|Debian clang\|checking for\|were corrected'

dies() { # name, pattern, command...: fails, and the pattern is in what is said
	name=$1 pattern=$2
	shift 2
	if (cd "$scratch" && "$top/scripts/progress" "  a build" "$scratch/log" "$@") \
		>/dev/null 2>"$scratch/said"; then
		result "it passed" "$name"
	elif ! grep -q -- "$pattern" "$scratch/said"; then
		result "the reason is not shown" "$name"
	elif grep -q "$noise" "$scratch/said"; then
		result "what is not the reason is shown" "$name"
	elif ! tail -n 1 "$scratch/said" | grep -q "^moat: .*see $scratch/log"; then
		result "the log is not named at the end" "$name"
	elif [ "$(wc -l <"$scratch/said")" -gt 40 ]; then
		result "too much is shown" "$name"
	else
		result ok "$name"
	fi
}

# Steps go on beside the one that fails, and after it.
cat >"$scratch/Makefile" <<'EOT'
all: before $(WHAT) beside
before: ; @cat noise
beside: ; @sleep 0.2; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "  CC      net/error_$$i.o"; done
c: before
	@echo "  CC      broken.o"; clang-14 -c broken.c -o broken.o
include: before ; @clang-14 -c include.c -o include.o
gcc: before ; @gcc -Werror -Wall -c unused.c -o unused.o
asm: before ; @gcc -c broken.S -o broken.o
rust: before ; @/usr/bin/rustc --crate-type lib broken.rs
lld: before ; @clang-14 -c undefined.c -o u.o && ld.lld-14 -o linked u.o
bfd: before ; @gcc -nostartfiles -o linked undefined.c
rule: before nonesuch.o
stop: before ; $(error this kernel has no such thing)
modpost: before ; @echo 'ERROR: modpost: "nonesuch" [moat.ko] undefined!'; exit 1
bindgen: before ; @echo "thread 'main' panicked at 'Unable to find libclang'"; exit 101
btf: before ; @echo "FAILED unresolved symbol nonesuch"; exit 255
script: before ; @echo "it cannot do this here"; exit 3
tool: before ; @no-such-tool --help
full: before ; @echo "cp: writing 'x': No space left on device"; exit 1
silent: before ; @exit 7
killed: before ; @kill -9 $$$$
EOT
echo 'int f(void) { return nonesuch; }' >"$scratch/broken.c"
echo 'int f(void) { return nonesuch; }' >"$scratch/error.h"
echo '#include "error.h"' >"$scratch/include.c"
echo 'void f(void) { int unused; }' >"$scratch/unused.c"
echo '	nonesuch %eax' >"$scratch/broken.S"
echo 'pub fn f() -> u32 { nonesuch }' >"$scratch/broken.rs"
printf 'int nonesuch(void);\nint _start(void) { return nonesuch(); }\n' >"$scratch/undefined.c"

for jobs in -j1 -j4; do
	made() { # what, pattern
		dies "$3, $jobs" "$2" make $jobs --no-print-directory WHAT="$1"
	}
	made c "broken.c:1:22: error: use of undeclared identifier 'nonesuch'" "a C error"
	made include 'error.h:1:22: error: use of undeclared' "a C error in a header"
	made gcc "unused.c:1:20: error: unused variable" "a warning that is an error"
	made asm "broken.S:1: Error: no such instruction" "an assembler's error"
	made rust 'error\[E0425\]: cannot find value `nonesuch`' "a Rust error"
	made lld "ld.lld-14: error: undefined symbol: nonesuch\|ld.lld: error: undefined symbol: nonesuch" "a link error"
	made bfd 'undefined reference to `nonesuch' "a link error of GNU ld"
	made rule "\*\*\* No rule to make target 'nonesuch.o'" "a missing rule"
	made stop 'Makefile:[0-9]*: \*\*\* this kernel has no such thing' "what a makefile says"
	made modpost 'ERROR: modpost: "nonesuch"' "an undefined symbol of a module"
	made bindgen 'panicked at .*libclang' "a panic of bindgen"
	made btf 'FAILED unresolved symbol nonesuch' "BTF that cannot be had"
	made script 'it cannot do this here' "a reason in no format"
	made tool 'no-such-tool: .*not found\|no-such-tool: No such file' "a tool that is not there"
	made full 'No space left on device' "a full disk"
	made silent '\*\*\* \[Makefile:[0-9]*: silent\] Error 7' "a command that says nothing"
	made killed '\*\*\* \[Makefile:[0-9]*: killed\] Killed' "a command that is killed"
done
dies "where in a Rust file" "--> broken.rs:1:21" make WHAT=rust
dies "which object, too" "\*\*\* \[Makefile:[0-9]*: c\] Error 1" make WHAT=c
dies "no output at all" "it printed nothing" sh -c 'exit 9'
dies "killed itself" "killed by SIGKILL" sh -c 'kill -9 $$'
dies "a command that is not there" "nonesuch: No such file" "$scratch/nonesuch"

# Whoever keeps a log for a failure shows what is in it.
cat "$scratch/noise" >"$scratch/log"
echo "E: Unable to locate package nonesuch" >>"$scratch/log"
sh -c '. "$1" && failed "$2" "cannot install"' "$top/scripts/x" "$top/scripts/common.sh" \
	"$scratch/log" >/dev/null 2>"$scratch/said"
if grep -q '^E: Unable' "$scratch/said" && grep -q "cannot install, see $scratch/log" "$scratch/said"; then
	result ok "an installation that fails"
else
	result "its reason is not shown" "an installation that fails"
fi
grep -n 'die .*see \$log' "$top"/scripts/* >"$scratch/said"
if [ -s "$scratch/said" ]; then
	result "these show nothing of it" "no script only names a log"
else
	result ok "no script only names a log"
fi

echo "1..$n"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
