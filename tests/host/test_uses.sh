#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Is all that the patches and the module use of the kernel in config/kernel-uses.tsv, and
# there in the tree that was built, and does nothing need a release after 6.1.38? Would
# it be found out if not?
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
out=$(sh -c '. "$1"; printf %s "$out"' "$top/scripts/x" "$top/scripts/common.sh")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
list=$top/config/kernel-uses.tsv
. "$top/tests/host/results.sh"

uses() { "$top/scripts/uses" "$@" >"$scratch/said" 2>&1; }

says() { # name, pattern, option and what it is of: fails with that, and nothing else
	name=$1 pattern=$2
	shift 2
	! uses "$@" && [ "$(wc -l <"$scratch/said")" = 1 ] && grep -q "$pattern" "$scratch/said"
	result $? "$name"
}

with() { # what `sed -E` makes of the list
	sed -E "$@" "$list" >"$scratch/list"
	export MOAT_USES="$scratch/list"
}

# The parser, by a kernel of one header.
cat >"$scratch/kernel.h" <<'EOT'
struct thing { int read, set, at, untouched; union { int inside; }; };
enum number { ONE, TWO };
typedef unsigned int u32;
extern int variable;
int unseen(void), function(struct thing *t);
static inline int inlined(int i) { return i + unseen(); }
#define MACRO(x) ((x) + unseen() + PART)
#define PART 1
#define PLAIN 2
EOT
cat >"$scratch/ours.c" <<'EOT'
#include "kernel.h"
static int ours(struct thing *t)
{
	struct thing made = { .set = TWO };
#ifdef PLAIN
	return MACRO(t->read) + inlined(variable) + (u32)t->inside + function(&made) +
	       (int)__builtin_offsetof(struct thing, at);
#endif
}
int (*pointer)(struct thing *t) = ours;
EOT
cat >"$scratch/expected" <<'EOT'
constant TWO
field thing.at
field thing.inside
field thing.read
field thing.set
function function
function inlined
macro MACRO
macro PLAIN
type thing
type u32
variable variable
EOT
echo "$scratch/ours.c" >"$scratch/files"
gcc -O2 -Wall -Werror -I/usr/lib/llvm-14/include -o "$scratch/refs" "$top/tools/uses/refs.c" \
	-L/usr/lib/llvm-14/lib -lclang-14 2>"$scratch/said" &&
	"$scratch/refs" "$scratch/files" clang-14 "$scratch/ours.c" 2>"$scratch/said" |
	awk -F'\t' '$3 ~ /kernel.h$/ { print $1, $2 }' | LC_ALL=C sort -u | diff "$scratch/expected" - >"$scratch/said"
result $? "the parser sees what is named, and no more"
echo 'int f(void) { return nonesuch; }' >"$scratch/ours.c"
! "$scratch/refs" "$scratch/files" clang-14 "$scratch/ours.c" >"$scratch/said" 2>&1 &&
	grep -q "undeclared identifier 'nonesuch'" "$scratch/said"
result $? "what it cannot parse is an error"

"$top/scripts/uses" product test >"$scratch/found" 2>"$scratch/said"
result $? "what is used can be told"
for name in 'function	apply_to_page_range' 'field	page.pt_mm' 'macro	EMIT1_off32' \
	'macro	PER_CPU_VAR' 'function	bpf_map_inc' 'field	ctl_table.procname' \
	'field	bpf_prog.tag' 'symbol	__stack_chk_fail' 'config	PREEMPTION' 'header	linux/bpf_verifier.h'; do
	grep -q "^$name	" "$scratch/found" || echo "$name"
done >"$scratch/said"
[ ! -s "$scratch/said" ]
result $? "of all kinds, in old files and new, in C, Rust and assembly"

uses --check "$scratch/found"
result $? "all is in the list, and nothing is too young"
tree=$(cat "$out/kernel/product/tree")
pristine=$(dirname "$(dirname "$tree")")/src/$(basename "$tree" -product)
uses --tree "$pristine"
result $? "all of the list is in the tree"

with '/^function	apply_to_page_range	/d'
says "a function that is not in the list" \
	'function apply_to_page_range is used (include/linux/mm.h), and not in the list' --check "$scratch/found"
with '/^field	page.pt_mm	/d'
says "a field that is not in the list" 'field page.pt_mm is used' --check "$scratch/found"
with '$a function	no_such_function	include/linux/mm.h'
says "a name that nothing uses" 'no_such_function is in the list, and nothing uses it' \
	--check "$scratch/found"
says "a name that the tree does not have" 'no function no_such_function' --tree "$pristine"
with '$a field	pt_regs.function	arch/x86/include/asm/ptrace.h	6.1.20'
says "a field that its structure does not have" \
	'no field pt_regs.function, which came with 6.1.20' --tree "$pristine"
with '$a function	no_such_function	include/linux/mm.h	6.1.99	no_such_fallback'
uses --tree "$pristine"
result $? "one that the tree may lack"
with 's/^(function	panic	[^	]*)$/\1	6.1.39/'
says "one that came after 6.1.38" 'panic came with 6.1.39, and nothing is there for 6.1.38' \
	--check "$scratch/found"
with 's/^(function	panic	[^	]*)$/\1	6.1.39	something/'
uses --check "$scratch/found"
result $? "one for which something else is there"
with 's/^(function	panic	[^	]*)$/\1	6.1.38/'
uses --check "$scratch/found"
result $? "one that came with 6.1.38"
with 's/^(function	panic	[^	]*)$/\1	5.10/'
says "a release that is none" "'5.10' is no release" --check "$scratch/found"
with '$a a line of something else'
says "a line that is none" 'list:[0-9]*: not `kind name where' --check "$scratch/found"
if [ -f /usr/share/doc/linux-source-6.1/changelog.Debian.gz ]; then
	new='function	arch_sync_kernel_mappings	include/linux/pgtable.h'
	with "\$a $new"
	(cat "$scratch/found" && echo "$new") >"$scratch/more"
	says "one of which the changelog knows since when" '6.1.151 seems to bring it' \
		--check "$scratch/more"
else
	skip "one of which the changelog knows since when" \
		"the changelog of linux-source-6.1 is not here"
fi

finish
