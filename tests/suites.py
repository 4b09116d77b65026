# SPDX-License-Identifier: GPL-2.0
"""Suites of the kernel's own that must say the same, line by line, at levels 0 and 2."""
import difflib
import os
import re
import time
from functools import partial

# What differs each time: clocks, and numbers of processes, descriptors and programs
VARIES = re.compile(r"\d+(\.\d+)? ?(ns|us|ms|s|sec|seconds|nsec|usec)\b|"
                    r"\b(pid|fd|id|prog_id|link_id) ?[=:]? ?\d+|0x[0-9a-f]{6,}")

# They also load what cannot be isolated.
LINE = ("echo 0 >/proc/sys/kernel/moat/strict; ulimit -l unlimited; "
        'cd "$MOAT_OUT/upstream/progs" && LC_ALL=C ../share %d ../%s 2>&1')


def command(name):
    """Some tests of files that are run are not."""
    if name != "test_progs":
        return name
    with open(os.path.dirname(__file__) + "/upstream/test_progs.list") as f:
        left_out = [l.split(":")[0] for l in f if "/" in l.split(":")[0] and l[0] != "#"]
    return "test_progs -d " + ",".join(left_out)


def told(name, lines):
    """What test_progs prints beside results of tests that fail is too much, and varies."""
    if name == "test_progs":
        lines = [l for l in lines if re.match(r"#\d|Summary", l)]
    return [VARIES.sub("N", l) for l in lines if not l.startswith("# ")]


def run(tally, guest, side_by_side, name):
    began, why = time.monotonic(), ""

    def one(level):
        lines = []
        status, said = guest("test-%s-%s" % (name, level),
                             LINE % (99 if level == "2" else 0, command(name)), lines.append,
                             variant="test", level=level, timeout=3600)
        return status, said, lines

    plain, isolated = side_by_side([partial(one, "0"), partial(one, "2")])
    shares = [l for l in isolated[2] if l.startswith("# share:")]
    for level, (status, said, lines) in (("0", plain), ("2", isolated)):
        # What fails on a plain kernel may fail.
        if status in (124, 125, 126) or (status and not plain[0]) or not told(name, lines):
            why = "level %s: %s" % (level, said or (shares or lines or [""])[-1])
            print("\n".join("    " + l for l in lines[-20:]))
    differ = list(difflib.unified_diff(told(name, plain[2]), told(name, isolated[2]),
                                       "level 0", "level 2", lineterm="", n=1))
    if differ:
        print("\n".join("    " + l for l in differ[:60]))
        why = why or "levels 0 and 2 differ"
    if not shares or "less than" in shares[-1]:
        why = why or "too little of it was isolated"
    tally.add("%s [test, levels 0 = 2]" % name, int(not why), int(bool(why)), 0,
              time.monotonic() - began, why or "; ".join(shares)[2:])
