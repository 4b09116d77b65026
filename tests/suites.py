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


def listed():
    """What stands before and behind the first colon of each line of the list."""
    with open(os.path.dirname(__file__) + "/upstream/test_progs.list") as f:
        return [l.strip().partition(":")[::2] for l in f if l[0] != "#"]


def command(name):
    """Some tests of files that are run are not."""
    if name != "test_progs":
        return name
    left_out = [what for what, why in listed() if "/" in what]
    # A file is one test, and what is in it are parts of that, or it has several.
    return "test_progs -d '%s'" % ",".join(left_out + [what.split("/")[1] for what in left_out])


def surprises(lines):
    """Programs that ran plainly at level 2 and are not listed, or are and did not."""
    plain = {l.split(":")[1].strip() for l in lines if l.startswith("# plain: ")}
    known = {what.split(" ", 1)[1] for what, why in listed() if what.startswith("plain ")}
    return sorted(plain ^ known)


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
    if not why and name == "test_progs" and surprises(isolated[2]):
        why = "runs plainly, or is listed so: " + ", ".join(surprises(isolated[2]))
    if not shares or "less than" in shares[-1]:
        why = why or "too little of it was isolated"
    tally.add("%s [test, levels 0 = 2]" % name, int(not why), int(bool(why)), 0,
              time.monotonic() - began, why or "; ".join(shares)[2:])
