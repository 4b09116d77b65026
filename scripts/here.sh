# SPDX-License-Identifier: GPL-2.0
# Sourced by install-here and remove-here: where things go on this machine.
. "$(dirname "$0")/common.sh"
dir=$out/kernel/here
boot=/boot/moat-test
grub_entry=/etc/grub.d/45_moat_test

as_root() {
	[ "$(id -u)" = 0 ] || die "this needs root: sudo -E make ..."
}
