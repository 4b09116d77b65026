# SPDX-License-Identifier: GPL-2.0
"""The list of what is used: what it says of releases, and whether a tree has it all."""
import gzip
import os
import re
import subprocess

from used import TOP, WORD, die, lines_of

LIST = os.environ.get("MOAT_USES") or TOP + "/config/kernel-uses.tsv"
CHANGELOG = "/usr/share/doc/linux-source-6.1/changelog.Debian.gz"
TARGET = 38  # of 6.1.y: what is younger needs something in its place
# Where most of what is used is, for names that are not where they were.
ROOMS = ["include", "arch/Kconfig", "arch/x86", "kernel", "mm", "net", "rust", "lib", "scripts"]


def read_list():
    head, rows = [], {}
    for n, line in enumerate(lines_of(LIST), 1):
        if line.startswith("#") or not line:
            head.append(line)
            continue
        cells = (line.split("\t") + [""] * 5)[:5]
        if line.count("\t") not in (2, 3, 4) or (cells[0], cells[1]) in rows:
            die("%s:%d: not `kind name where [release [instead]]`, or there already" % (LIST, n))
        rows[cells[0], cells[1]] = cells
    return head, rows


def introduced(names):
    """Names of which a changelog of 6.1.y says that it brings them: {name: (release, line)}."""
    said, release, entry = {}, None, ""
    name = r"[A-Za-z_]\w*(?:\(\))?"
    brings = re.compile(r"\b(?:add|introduce|define|provide|export|implement|create|factor out|"
                        r"split out|expose)s? (?:the |a |an |new |generic )*((?:%s(?:, | and )+)*%s)"
                        r"(?: helpers?| functions?| macros?| wrappers?| API| fields?(?: in .*)?)?"
                        r"(?: \(CVE.*|$)" % (name, name), re.I)

    def look():
        found = brings.search(entry)
        for word in WORD.findall(found.group(1)) if found and release else []:
            if word in names:
                said[word] = release, entry
    with gzip.open(CHANGELOG, "rt", errors="replace") as f:
        for line in f:
            if line.startswith("      "):
                entry += " " + line.strip()
                continue
            look()
            entry = line.strip()[2:]
            at = re.search(r"/ChangeLog-(6\.1\.\d+)", line)
            release = at.group(1) if at else release
            if line.startswith("linux (6.0"):
                break
    return said


def too_young(release):
    found = re.fullmatch(r"6\.1\.(\d+)", release)
    return bool(found) and int(found.group(1)) > TARGET


def ages(rows):
    """What is wrong with what the list says of releases."""
    names = {}
    for kind, name in rows:
        if kind in ("function", "macro", "variable", "constant", "field", "type", "symbol"):
            names.setdefault(name.split(".")[-1], []).append((kind, name))
    said = introduced(names) if os.path.exists(CHANGELOG) else {}
    for (kind, name), cells in sorted(rows.items()):
        release, instead = cells[3], cells[4]
        if release and not re.fullmatch(r"6\.1\.\d+", release):
            yield "%s %s: '%s' is no release of 6.1.y" % (kind, name, release)
        if too_young(release) and not instead:
            yield "%s %s came with %s, and nothing is there for 6.1.%d" % (kind, name, release, TARGET)
        known = said.get(name.split(".")[-1])
        if known and kind == "field" and not re.search(r"\bfields?\b|" + name.split(".")[0], known[1]):
            continue
        if known and not release:
            yield "%s %s: %s seems to bring it (%s); name the release, or 6.1.0" % (
                (kind, name) + known)


def body(text, owner):
    """Words in the definitions of a structure, if there is one."""
    words = None
    for start in re.finditer(r"^(?:struct|union) %s\s*\{" % owner, text, re.M):
        end = re.compile(r"^\}", re.M).search(text, start.end())
        words = (words or set()) | set(WORD.findall(text[start.end():end and end.start()]))
    return words


class Tree:
    def __init__(self, root):
        self.root, self.texts = root, {}

    def text(self, where):
        if where not in self.texts:
            try:
                with open("%s/%s" % (self.root, where), errors="replace") as f:
                    text = f.read()
            except OSError:
                text = ""
            self.texts[where] = text, set(WORD.findall(text))
        return self.texts[where]

    def grep(self, *how):
        rooms = [r for r in ROOMS if os.path.exists("%s/%s" % (self.root, r))]
        return subprocess.run(["grep", "-r"] + list(how) + rooms, cwd=self.root, check=False,
                              stdout=subprocess.PIPE).stdout.decode(errors="replace").split()

    def has_header(self, name):
        names = [name, re.sub("^asm/", "asm-generic/", name)]
        # The kernel's first makefile makes some.
        with open(self.root + "/Makefile") as f:
            if "include/generated/uapi/" + name in f.read():
                return True
        return any(os.path.exists("%s/%s/%s" % (self.root, d, n)) for n in names for d in (
            "include", "arch/x86/include", "include/uapi", "arch/x86/include/uapi"))

    def has_field(self, owner, name, where):
        """None if there is no such structure in so many words."""
        words = body(self.text(where)[0], owner)
        if words is None:
            for f in self.grep("-lE", r"^(struct|union) %s\s*\{" % owner):
                words = words or body(self.text(f)[0], owner)
        return None if words is None else name in words


def in_tree(root, rows):
    """Names of the list that a tree without the patches does not have."""
    tree, missing, elsewhere = Tree(root), [], []
    for (kind, name), cells in sorted(rows.items()):
        owner, _, word = name.rpartition(".")
        word = word.split("::")[-1].rstrip("!")
        there = None
        if kind == "symbol":
            continue  # made by a macro, perhaps from parts
        if kind == "header":
            there = tree.has_header(name)
        if kind == "field":
            there = tree.has_field(owner, word, cells[2])
        if there is None and word not in tree.text(cells[2])[1]:
            elsewhere.append((kind, name, word))
        elif there is False:
            missing.append((kind, name))
    if elsewhere:
        words = [option for _, _, word in elsewhere for option in ("-e", word)]
        there = set(tree.grep("-howF", *words))
        missing += [(kind, name) for kind, name, word in elsewhere if word not in there]
    return missing
