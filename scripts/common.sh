# SPDX-License-Identifier: GPL-2.0
# Sourced by the other scripts: one line for every failure, and where things are.
die() {
	echo "moat: $*" >&2
	exit 1
}

failed() { # log, what: shows why, from the log of what has failed
	"$top/scripts/failure.py" "$1" >&2 || tail -n 15 "$1" >&2
	die "$2, see $1"
}

top=$(dirname "$(dirname "$(readlink -f "$0")")")
[ -n "${MOAT_CACHE:-}" ] || MOAT_CACHE=$HOME/.cache/moat
export MOAT_CACHE
# What belongs to this checkout alone, logs too; kernels are shared by all checkouts.
out=$MOAT_CACHE/out-$(printf %s "$top" | sha256sum | cut -c1-12)
logs=$out/log

wait_for() { # descriptor, what: for a lock that another checkout, or run, may have
	flock -n "$1" || {
		echo "moat: waiting for $2, which another build has" >&2
		flock "$1"
	}
}

patches_of() { # product|test|unpatched: the files of that series, in order
	[ "$1" != unpatched ] || return 0
	ls "$top"/patches/[0-9]*.patch 2>/dev/null || die "no patches in $top/patches"
	[ "$1" = product ] || ls "$top"/patches/test/[0-9]*.patch 2>/dev/null ||
		die "no patches in $top/patches/test"
}

series_of() { # product|test: what the tree with these patches is marked with
	patches_of "$1" | xargs -d '\n' cat | sha256sum
}

hash_files() { # content and names, below the current directory
	LC_ALL=C sort | xargs -r -d '\n' sha256sum | sha256sum | cut -c1-16
}
