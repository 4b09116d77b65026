#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# C, Rust and assembly of the module share functions, structures and numbers: does its
# build fail, and say where, if one of them has another idea of these?
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
out=$(sh -c '. "$1"; printf %s "$out"' "$top/scripts/x" "$top/scripts/common.sh")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. "$top/tests/host/results.sh"

"$top/scripts/kernel" product >"$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
tree=$(cat "$out/kernel/product/tree") build=$(cat "$out/kernel/product/build")
exec 6>"$tree.lock"
flock -s 6
cp -r "$top/Kbuild" "$top/moat" "$scratch/"

rust() { # compiles what is Rust, or says what is wrong
	"$top/scripts/kmake" "$tree" "$build" -s M="$scratch" moat/main.o >"$scratch/said" 2>&1
}

differs() { # name, file, what sed makes of it, what is said and where
	sed "$3" "$top/moat/$2" >"$scratch/moat/$2"
	! cmp -s "$top/moat/$2" "$scratch/moat/$2" && ! rust && grep -q "$4" "$scratch/said" &&
		grep -q -- "--> $scratch/moat/$5:" "$scratch/said"
	result $? "$1"
	cp "$top/moat/$2" "$scratch/moat/$2"
}

differs "an argument of a shim" kernel/shims.h 's/cpu_slots(u64 slots, u32 cpu)/cpu_slots(u64 slots, u64 cpu)/' \
	'expected `u64`, found `u32`' kernel/memory.rs
differs "what a shim returns" kernel/shims.h 's/^bool moat_may_log/u32 moat_may_log/' \
	'expected `bool`, found `u32`' kernel/ffi.rs
differs "a function in Rust" kernel/shims.h 's/moat_show_keys(struct seq_file \*m, /moat_show_keys(/' \
	'incorrect number of function parameters' checks/layouts.rs
differs "a function for gates" kernel/shims.h 's/^u64 moat_prepare/u32 moat_prepare/' \
	'expected fn pointer' checks/layouts.rs
differs "a counter" kernel/shims.h 's/^extern u64 moat_freed,/extern u32 moat_freed,/' \
	'expected `u64`, found `u32`' checks/layouts.rs
differs "the order of fields" kernel/shims.h 's/^	u32 tid;/	u32 uid;/; t; s/^	u32 uid;/	u32 tid;/' \
	'assertion failed: ours.tid as u64 == theirs.tid as u64' checks/layouts.rs
differs "a field more" kernel/shims.h 's/, flags;$/, flags, more;/' \
	'pattern does not mention field `more`' checks/layouts.rs
differs "a flag" kernel/shims.h 's/IS_TAGGED = 1 << 5/IS_TAGGED = 1 << 11/' \
	'assertion failed: geometry::TAGGED as u64 == c::moat_geometry_flags_IS_TAGGED' checks/constants.rs
differs "a bit of the CPU's" pks.rs 's/PF_PK: u64 = 1 << 5/PF_PK: u64 = 1 << 6/' \
	'assertion failed: pks::PF_PK as u64 == c::x86_pf_error_code_X86_PF_PK' checks/constants.rs
differs "the window's arena" window/addresses.rs 's/BASE + (1 << 30)/BASE + (1 << 31)/' \
	'assertion failed: addresses::ARENA' checks/constants.rs
differs "the margin of slots" load/layout.rs 's/= (192, 64)/= (64, 64)/' \
	'assertion failed: MARGIN.0' checks/constants.rs

differs "a protection that can be taken away" kernel/off.rs 's/^            false$/            true/' \
	'assertion failed: !pkrs()' kernel/off.rs

rust
result $? "the same in all"
! nm "$out/kernel/product/moat.ko" | grep -q moat_offs
result $? "no switches of the test kernel in the product's module"
(export BINDGEN=/nonexistent/bindgen && rm -f "$scratch/moat/kernel/bindings_generated.rs" && ! rust) &&
	grep -q "Kbuild:[0-9]*: \*\*\* moat: no bindgen at '/nonexistent/bindgen'" "$scratch/said"
result $? "no bindgen"

finish
