# SPDX-License-Identifier: GPL-2.0
"""Draws what report.py has read: a bar for each row and layer, as SVG."""
import re
from report import END_TO_END, RUN, shown

WIDTH, NAMES, BAR, GAP, RIGHT = 760, 215, 9, 7, 60
COLOURS = {"keyed": "#0072b2", "view": "#e69f00", "confined": "#009e73"}
STYLE = ("<style>text{font:12px sans-serif;fill:#222}.small{font-size:10px}"
         ".head{font-weight:bold;font-size:13px}</style>")


def text(x, y, what, **more):
    what = what.replace("&", "&amp;").replace("<", "&lt;")
    return '<text x="%g" y="%g"%s>%s</text>' % (
        x, y, "".join(' %s="%s"' % (k.rstrip("_").replace("_", "-"), v) for k, v in more.items()),
        what)


def steps(most):
    """A round step of which some five make @most."""
    step = 1
    while most / step > 6:
        step *= 2 if str(step)[0] in "15" else 2.5
    return step


class Panel:
    def __init__(self, title, unit, rows, field):
        self.title, self.unit, self.field = title, unit, field
        self.rows = [(r, [l for l in COLOURS if getattr(r[l], field) is not None]) for r in rows]
        self.rows = [(r, layers) for r, layers in self.rows if layers]
        most = max(getattr(r[l], field) for r, layers in self.rows for l in layers)
        self.step = steps(most)
        self.scale = (WIDTH - NAMES - RIGHT) / most
        self.height = 46 + sum(len(layers) * BAR + GAP for _, layers in self.rows)

    def draw(self, top):
        out = [text(10, top + 16, self.title, class_="head")]
        bottom, n = top + self.height - 14, 0
        while n * self.scale <= WIDTH - NAMES - RIGHT + 1:
            x = NAMES + n * self.scale
            out.append('<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="#ddd"/>' % (x, top + 26, x, bottom))
            out.append(text(x, bottom + 12, shown(n) + self.unit, class_="small", text_anchor="middle"))
            n += self.step
        y = top + 30
        for row, layers in self.rows:
            out.append(text(NAMES - 8, y + len(layers) * BAR / 2 + 4, row.name, text_anchor="end"))
            for layer in layers:
                value = getattr(row[layer], self.field)
                width = max(value * self.scale, 0)
                out.append('<rect x="%d" y="%g" width="%.1f" height="%d" fill="%s"/>' %
                           (NAMES, y, width, BAR - 1, COLOURS[layer]))
                out.append(text(NAMES + width + 4, y + BAR - 1, shown(value), class_="small"))
                if layer == "keyed" and row[layer].goal:
                    x = NAMES + float(re.match("[0-9]+", row[layer].goal).group()) * self.scale
                    out.append('<rect x="%.1f" y="%g" width="3" height="%d" fill="#d00"/>' % (x, y, BAR - 1))
                y += BAR
            y += GAP
        return out


def svg(rows):
    panels = [
        Panel("Instructions added to a run", "", [r for r in rows.values() if r.table == RUN], "added"),
        Panel("Added from end to end, in per cent of the instructions", " %",
              [r for r in rows.values() if r.table == END_TO_END], "percent"),
    ]
    out, y = [], 30
    for panel in panels:
        out += panel.draw(y)
        y += panel.height + 16
    used = [l for l in COLOURS if any(l in layers for p in panels for _, layers in p.rows)]
    for n, layer in enumerate(used):
        out.append('<rect x="%d" y="10" width="10" height="10" fill="%s"/>' % (NAMES + 90 * n, COLOURS[layer]))
        out.append(text(NAMES + 90 * n + 15, 19, layer))
    out.append('<rect x="%d" y="10" width="3" height="10" fill="#d00"/>' % (NAMES + 90 * len(used)))
    out.append(text(NAMES + 90 * len(used) + 8, 19, "goal, keyed"))
    return "\n".join(
        ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">' %
         (WIDTH, y, WIDTH, y), STYLE,
         '<rect width="100%" height="100%" fill="#fff"/>'] + out + ["</svg>", ""])
