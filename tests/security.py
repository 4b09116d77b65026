# SPDX-License-Identifier: GPL-2.0
"""The table of docs/security.md, from what test_bugs has seen: compared, or written."""
import os

DOC = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/docs/security.md"
BEGIN, END = "<!-- Written by test_bugs: `UPDATE=1 make test ONLY=bugs`. -->", "<!-- end -->"
SEEN = "# bug: "
HEADS = ("bug", "family", "fixed in", "the kernel was wrong about", "lost at level 0",
         "stopped at level 2 by")


def table(lines):
    rows = [line[len(SEEN):] for line in lines if line.startswith(SEEN)]
    return "\n".join("| %s |" % row for row in [" | ".join(HEADS), "|".join(["---"] * len(HEADS))] + rows)


def check(lines):
    """Returns what is wrong with the page, if anything."""
    new = table(lines)
    with open(DOC) as f:
        text = f.read()
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        return "docs/security.md has no place for the table"
    if old.strip() == new:
        return ""
    if os.environ.get("UPDATE") != "1":
        return "docs/security.md has another table: UPDATE=1 make test ONLY=bugs writes it"
    with open(DOC, "w") as f:
        f.write(before + begin + "\n\n" + new + "\n\n" + end + after)
    return ""
