# SPDX-License-Identifier: GPL-2.0
"""What `bench` prints: read, compared between kernels, made tables and a plot of."""
import re
from collections import namedtuple

NAME, LAYER = 32, 8  # columns that bench.c leaves for these
RUN, END_TO_END, INTERRUPT = "a run", "from end to end", "an interrupt"

# A line of bench. What is not there or not counted is None; @goal is as it is printed.
Line = namedtuple("Line", "insns added percent pkrs cr3 model goal")
NOT_THERE = Line(*[None] * 6, "")


class Row:
    def __init__(self, name, table):
        self.name, self.table, self.layers = name, table, {}

    def __getitem__(self, layer):
        return self.layers.get(layer, NOT_THERE)


def read(lines):
    """{name: Row}, in the order in which they were printed."""
    rows, table = {}, ""
    for line in lines:
        name, layer = line[:NAME].strip(), line[NAME:NAME + LAYER].strip()
        words = line[NAME + LAYER:].split()
        if layer == "layer":
            table = name
        elif layer in ("plain", "keyed", "view", "confined"):
            row = rows.setdefault(name, Row(name, table))
            numbers = [None if w == "-" else float(w) for w in words[:6]
                       if re.fullmatch(r"[-+]?[\d.]+|-", w)] if words[0] != "not" else []
            goal = re.search(r"goal ([^:]*):", line)
            row.layers[layer] = Line(*(numbers + [None] * 6)[:6], goal.group(1) if goal else "")
    return rows


def shown(n, sign="", digits=1):
    """1234.0 -> 1,234; None -> nothing"""
    text = "" if n is None else ("{:%s,.%df}" % (sign, digits)).format(n)
    return text[:-2] if text.endswith(".0") else text


# Who is not isolated pays nothing (I7), but for what is here: what the patched kernel may
# add to a row without the module, and what the module may add to that at level 0.
ALLOWED = {
    "array lookup, add": (0, 1),
    "per-CPU array lookup, add": (0, 1),
    "array update": (0, 3),
    "hash lookup, add": (2, 1),
    "hash update": (2, 3),
    "LRU hash lookup, update": (4, 4),
    "on-demand hash lookup, add": (0, 1),
    # A value is taken from a list, and one put back, with a lock each.
    "on-demand hash update": (3, 215),
    "LPM trie lookup, add": (0, 20),
    "LPM trie update": (4, 0),
    "loopback, count in array": (0, 1),
    "veth, XDP parse, count, pass": (0, 1),
    "interrupt of kernel code": (7, 5),
    "interrupt of user code": (3, 0),
}
SAME = 0.05  # of an instruction: rounds divide evenly


def other_configuration(kernels):
    """How the unpatched kernel below @kernels is configured otherwise, MOAT's own apart."""
    options = [set(), set()]
    for variant, found in zip(("unpatched", "product"), options):
        with open("%s/%s/config" % (kernels, variant)) as f:
            found.update(line.strip() for line in f if re.match(r"CONFIG_|# CONFIG_", line))
    return sorted(line for line in options[0] ^ options[1] if "MOAT" not in line)


def compare(unpatched, without, level0):
    """(line to print, whether it may be) for each row."""
    if set(unpatched) != set(without) or set(unpatched) != set(level0):
        yield "the kernels were measured in different rows: MISSED", False
        return
    yield "%-32s%9s  %-32s%s" % ("", "unpatched", "patched, without the module",
                                 "with it, at level 0"), None
    for name in unpatched:
        before, patched, loaded = (rows[name]["plain"].insns
                                   for rows in (unpatched, without, level0))
        most, more = ALLOWED.get(name, (0, 0))
        met = patched - before <= most + SAME, loaded - patched <= more + SAME
        text = "%-32s%9s  " % (name, shown(before))
        for is_now, added, limit, ok in ((patched, patched - before, most, met[0]),
                                         (loaded, loaded - patched, more, met[1])):
            text += "%-32s" % ("%s, %s (at most %d: %s)" % (
                shown(is_now), shown(added, "+"), limit, "met" if ok else "MISSED"))
        yield text.rstrip(), all(met)


def cell(row, layer, field, sign="", digits=1):
    line = row[layer]
    if line.insns is None:
        return "not there" if layer in row.layers and field == "added" else ""
    return shown(getattr(line, field), sign, digits)


def markdown(heads, lines):
    return "\n".join("| %s |" % " | ".join(cells) for cells in
                     [heads, ["---"] + ["---:"] * (len(heads) - 1)] + lines)


def table_of_runs(rows):
    return markdown(
        ["program", "plain", "keyed", "PKRS writes", "view", "PKRS, CR3 writes", "confined",
         "goal, keyed"],
        [[r.name, cell(r, "plain", "insns"), cell(r, "keyed", "added", "+"),
          cell(r, "keyed", "pkrs"), cell(r, "view", "added", "+"),
          ", ".join(filter(None, (cell(r, "view", "pkrs"), cell(r, "view", "cr3")))),
          cell(r, "confined", "added", "+"), goal(r)]
         for r in rows.values() if r.table == RUN])


def table_end_to_end(rows):
    return markdown(
        ["", "plain", "keyed", "%", "PKRS writes", "model, %", "view", "%",
         "PKRS, CR3 writes", "model, %", "confined", "goal, keyed"],
        [[r.name, cell(r, "plain", "insns", "", 0)] +
         [cell(r, "keyed", f, sign) for f, sign in
          (("added", "+"), ("percent", ""), ("pkrs", ""), ("model", ""))] +
         [cell(r, "view", "added", "+"), cell(r, "view", "percent"),
          ", ".join(filter(None, (cell(r, "view", "pkrs"), cell(r, "view", "cr3")))),
          cell(r, "view", "model"), cell(r, "confined", "added", "+"), goal(r)]
         for r in rows.values() if r.table == END_TO_END])


def goal(row):
    return row["keyed"].goal and "%s; %s" % tuple(row["keyed"].goal.split(", "))


def table_of_kernels(unpatched, without, level0):
    return markdown(
        ["", "unpatched", "patched, without the module", "with it, at level 0"],
        [[name] + [cell(rows[name], "plain", "insns", "", 0)
                   for rows in (unpatched, without, level0)] for name in unpatched])


def between_marks(text, name, new):
    begin, end = "<!-- %s -->\n" % name, "<!-- /%s -->" % name
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise SystemExit("moat: docs/cost.md has no %s" % begin.strip())
    return head + begin + "\n" + new + "\n\n" + end + tail


def update(docs, model, unpatched, without, rows):
    """Writes the tables of docs/cost.md and its plot anew."""
    import plot
    tables = {"runs": table_of_runs(rows), "end to end": table_end_to_end(rows), "model": model,
              "kernels": table_of_kernels(unpatched, without, rows)}
    with open(docs + "/cost.md") as f:
        text = f.read()
    for name, new in tables.items():
        text = between_marks(text, name, new)
    with open(docs + "/cost.md", "w") as f:
        f.write(text)
    with open(docs + "/cost.svg", "w") as f:
        f.write(plot.svg(rows))
