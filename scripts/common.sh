# SPDX-License-Identifier: GPL-2.0
# Sourced by the other scripts: one line for every failure, and where things are.
die() {
	echo "moat: $*" >&2
	exit 1
}

top=$(dirname "$(dirname "$(readlink -f "$0")")")
[ -n "${MOAT_CACHE:-}" ] || MOAT_CACHE=$HOME/.cache/moat
export MOAT_CACHE
# What belongs to this checkout alone; kernels are shared by all checkouts.
out=$MOAT_CACHE/out-$(printf %s "$top" | sha256sum | cut -c1-12)

hash_files() { # content and names, below the current directory
	LC_ALL=C sort | xargs -r -d '\n' sha256sum | sha256sum | cut -c1-16
}
