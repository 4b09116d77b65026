#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# moat-test: kernel=test levels=2 cpus=4 boot=no5lvl alone=guest keys=13 full=1,0 timeout=600
# With four levels of page tables the window has an entry of its own in every top level:
# those of processes, of kernel threads that have none, and of views. All other tests run
# with five, where they share a table that is in all of them.
if grep -q -w la57 /proc/cpuinfo; then
	echo "not ok 1 - four levels of page tables: there are five"
	exit 1
fi
echo "ok 1 - four levels of page tables"
failed=0
for test in test_containment test_context; do
	"$MOAT_OUT/kselftest/$test" || failed=1
done
exit $failed
