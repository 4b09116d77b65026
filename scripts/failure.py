#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""failure.py LOG: prints what a failed build, configuration or installation died of.

A log has errors of compilers, linkers and tools in their own formats, and what make
says of them afterwards. The first are the cause; file names and banners that contain
the word `error` are neither.
"""
import re
import sys

AT = r"^\S.*?:\d+(:\d+)?: "  # file, line and perhaps column
CAUSE = re.compile("|".join((
    AT + r"(fatal )?[eE]rror:",  # compilers, assemblers
    r"^([^\s:]+: )?(fatal |internal compiler )?(error|ERROR|Error)(\[\w+\])?:",  # rustc, lld, modpost
    r"^\S+: error (while|processing)\b",  # the dynamic loader, dpkg
    r": (undefined reference to|multiple definition of|cannot find) ",  # GNU ld
    r"\bpanicked at\b",  # bindgen, rustc
    r"^(Traceback \(|\w*(Error|Exception): )",  # Python
    r"^(FAILED|BTF: )",  # resolve_btfids, link-vmlinux.sh
    r"^E: ",  # apt
    r"^(make(\[\d+\])?|\S+:\d+): \*\*\* (?!\[|Waiting for)",  # no rule, a bad makefile, $(error)
    r"^(\S*sh: .*)?\b(Killed|Terminated|Segmentation fault|Aborted|Bus error)\b( \(core dumped\))?$",
)))
# What tools say without a format of their own, which may be harmless.
COMPLAINT = re.compile(
    r": ((command )?not found|No such file or directory|Permission denied|"
    r"No space left on device|Cannot allocate memory|syntax error.*|bad .*)$")
GAVE_UP = re.compile(r"^make(\[\d+\])?: \*\*\* \[")
LEADS_IN = re.compile(
    r"^(In file included from |\s+from )|: (In function |Assembler messages:|in function )")
# Kbuild's `  CC      file`, and make's about directories.
STEP = re.compile(r"^  (\[\w+\] )?[A-Z][A-Z0-9_+]*(?: \[[A-Z]\])? +\S|^make(\[\d+\])?: (Entering|Leaving|Nothing)")
CAUSES, AFTER, LINES, WIDTH = 4, 8, 30, 400


def blocks(lines, pattern):
    """Lines that match, each with what leads in and what belongs to it."""
    shown, last = [], -1
    for n, line in enumerate(lines):
        if n <= last or not pattern.search(line):
            continue
        start = n
        while start - 1 > last and LEADS_IN.search(lines[start - 1]):
            start -= 1
        last = n
        for after in lines[n + 1:n + 1 + AFTER]:
            if not after.strip() or pattern.search(after) or STEP.search(after) or \
                    GAVE_UP.search(after):
                break
            last += 1
        shown.append(lines[start:last + 1])
        if len(shown) == CAUSES:
            break
    return [line for block in shown for line in block]


def reason(text):
    """The lines to show of a log."""
    lines = text.replace("\r", "\n").splitlines()
    gave_up = [n for n, line in enumerate(lines) if GAVE_UP.search(line)]
    shown = blocks(lines, CAUSE) or blocks(lines[-50:], COMPLAINT)
    if not shown:
        end = gave_up[0] if gave_up else len(lines)
        shown = [line for line in lines[max(0, end - LINES // 2):end]
                 if line.strip() and not STEP.search(line)][-AFTER:]
    shown = shown[:LINES] + [lines[n] for n in gave_up[:1]]
    return [line[:WIDTH] for line in shown] or ["(it printed nothing)"]


def main():
    try:
        with open(sys.argv[1], errors="replace") as f:
            text = f.read()
    except OSError as e:
        text = "%s: %s" % (e.filename, e.strerror)
    print("\n".join(reason(text)))


if __name__ == "__main__":
    main()
