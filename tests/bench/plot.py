# SPDX-License-Identifier: GPL-2.0
"""Draws what report.py has read: a bar for each row and layer, as SVG."""
import re

from report import END_TO_END, RUN, shown

WIDTH, NAMES, RIGHT, BAR, GAP = 760, 215, 60, 9, 7
COLOURS = {"keyed": "#0072b2", "view": "#e69f00", "confined": "#009e73"}
GOAL = "#d00"
STYLE = ("<style>text{font:12px sans-serif;fill:#222}.small{font-size:10px}"
         ".head{font-weight:bold;font-size:13px}</style>")


def text(x, y, what, class_="", anchor="start"):
    what = what.replace("&", "&amp;").replace("<", "&lt;")
    return '<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (
        x, y, class_, anchor, what)


def rect(x, y, width, height, colour):
    return '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' % (
        x, y, width, height, colour)


def step(most):
    """Something round, of which six at most make @most."""
    n = 1
    while most / n > 6:
        n *= 2.5 if str(n)[0] == "2" else 2
    return n


class Panel:
    def __init__(self, title, unit, rows, field):
        self.title, self.unit, self.field = title, unit, field
        self.rows = [(r, [l for l in COLOURS if getattr(r[l], field) is not None]) for r in rows]
        self.rows = [(r, layers) for r, layers in self.rows if layers]
        self.most = max(getattr(r[l], field) for r, layers in self.rows for l in layers)
        self.scale = (WIDTH - NAMES - RIGHT) / self.most
        self.height = 46 + sum(len(layers) * BAR + GAP for _, layers in self.rows)

    def draw(self, top):
        bottom, n = top + self.height - 14, 0
        yield text(10, top + 16, self.title, "head")
        while n <= self.most:
            x = NAMES + n * self.scale
            yield rect(x, top + 26, 1, bottom - top - 26, "#ddd")
            yield text(x, bottom + 12, shown(n) + self.unit, "small", "middle")
            n += step(self.most)
        y = top + 30
        for row, layers in self.rows:
            yield text(NAMES - 8, y + len(layers) * BAR / 2 + 4, row.name, "", "end")
            for layer in layers:
                yield from self.bar(y, row[layer], COLOURS[layer])
                y += BAR
            y += GAP

    def bar(self, y, line, colour):
        value = getattr(line, self.field)
        width = max(value, 0) * self.scale
        yield rect(NAMES, y, width, BAR - 1, colour)
        yield text(NAMES + width + 4, y + BAR - 1, shown(value), "small")
        goal = re.match("[0-9]+", line.goal)
        if goal:
            yield rect(NAMES + float(goal.group()) * self.scale, y, 3, BAR - 1, GOAL)


def legend(panels):
    x = NAMES
    for layer, colour in COLOURS.items():
        if any(layer in layers for p in panels for _, layers in p.rows):
            yield rect(x, 10, 10, 10, colour)
            yield text(x + 15, 19, layer)
            x += 90
    yield rect(x, 10, 3, 10, GOAL)
    yield text(x + 8, 19, "goal, keyed")


def svg(rows):
    rows = list(rows.values())
    panels = [
        Panel("Instructions added to a run", "", [r for r in rows if r.table == RUN], "added"),
        Panel("Added from end to end, in per cent of the instructions", " %",
              [r for r in rows if r.table == END_TO_END], "percent"),
    ]
    drawn, y = list(legend(panels)), 30
    for panel in panels:
        drawn += panel.draw(y)
        y += panel.height + 16
    return "\n".join(
        ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">' %
         (WIDTH, y, WIDTH, y), STYLE, rect(0, 0, WIDTH, y, "#fff")] + drawn + ["</svg>", ""])
