# SPDX-License-Identifier: GPL-2.0
# Sourced by tests whose commands leave what they say in $scratch/said.
n=0 failed=0

result() { # status, name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/#   /' "$scratch/said"
		failed=$((failed + 1))
	fi
}

skip() { # name, why
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

finish() {
	echo "1..$n"
	[ $failed = 0 ]
}
