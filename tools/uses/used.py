# SPDX-License-Identifier: GPL-2.0
"""What the patches and the module use of a kernel that was built."""
import collections
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
OURS = re.compile("moat", re.I)
WORD = re.compile(r"[A-Za-z_]\w*")

Use = collections.namedtuple("Use", "kind name where")


def die(text):
    sys.exit("moat: " + text)


def run(line, **how):
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        die("%s failed" % (line if isinstance(line, str) else line[0]))
    return done.stdout.decode(errors="replace")


def lines_of(path):
    with open(path, errors="replace") as f:
        return f.read().splitlines()


def common(command):
    """What a command says with scripts/common.sh."""
    return run(["sh", "-c", '. "$1"; ' + command, TOP + "/scripts/x",
                TOP + "/scripts/common.sh"]).rstrip("\n")


class Kernel:
    """One that was built from patched sources, and the lines in it that are ours."""

    def __init__(self, variant):
        series = common("series_of " + ("product" if variant == "product" else "test"))
        while True:  # until it is ours and stays so: other checkouts build there, too
            if subprocess.call([TOP + "/scripts/kernel", variant], stdout=sys.stderr):
                sys.exit(1)
            place = "%s/kernel/%s/" % (common('echo "$out"'), variant)
            self.tree, self.build = (lines_of(place + f)[0] for f in ("tree", "build"))
            self.lock = open(self.tree + ".lock", "w")
            fcntl.flock(self.lock, fcntl.LOCK_SH)
            if "\n".join(lines_of(self.tree + "/.moat-series")) == series:
                break
            self.lock.close()
        self.module = self.build + "-module"
        cache, name = os.path.split(os.path.dirname(self.tree))[0], os.path.basename(self.tree)
        self.pristine = "%s/src/%s" % (cache, name.rsplit("-", 1)[0])
        self.touched = [f for f in lines_of(self.tree + "/.moat-files")
                        if os.path.exists("%s/%s" % (self.tree, f))]
        self.added = {f: self.added_lines(f) for f in self.touched}

    def added_lines(self, f):
        """Numbers of the lines that the patches add to a file; None for all of a new one."""
        if not os.path.exists("%s/%s" % (self.pristine, f)):
            return None
        diff = subprocess.run(["diff", "-U0", "%s/%s" % (self.pristine, f), "%s/%s" % (self.tree, f)],
                              stdout=subprocess.PIPE, check=False).stdout.decode(errors="replace")
        added = set()
        for start, count in re.findall(r"^@@ .* \+(\d+)(?:,(\d+))? @@", diff, re.M):
            added.update(range(int(start), int(start) + int(count or 1)))
        return added

    def where(self, path):
        """A file's name in the tree, or below the build directory."""
        path = os.path.normpath(os.path.join(self.build, path))
        for root in self.tree, self.build:
            if path.startswith(root + "/"):
                return path[len(root) + 1:]
        return path

    def ours(self, path, line):
        where = self.where(path)
        if where.startswith(self.module + "/"):
            return True
        return where in self.added and (self.added[where] is None or line in self.added[where])

    def our_text(self, f):
        """(number, text) of our lines of a file of the tree, or of one of the module's."""
        path = f if f.startswith("/") else "%s/%s" % (self.tree, f)
        for n, text in enumerate(lines_of(path), 1):
            if self.ours(path, n):
                yield n, text

    def sources(self, suffix):
        ours = ["%s/%s" % (self.tree, f) for f in self.touched]
        for root, _, names in os.walk(self.module + "/moat"):
            ours += [os.path.join(root, name) for name in names]
        return sorted(f for f in ours if f.endswith(suffix))

    def command(self, source):
        """The words of the command that compiled it, or what includes it, if anything did."""
        where = self.where(source)
        root = os.path.dirname(where if where.startswith("/") else "%s/%s" % (self.build, where))
        name = os.path.basename(where).rsplit(".", 1)[0]
        if not os.path.isdir(root):
            return None
        own = "%s/.%s.o.cmd" % (root, name)
        found = [own] if os.path.exists(own) else [
            "%s/%s" % (root, f) for f in sorted(os.listdir(root)) if f.endswith(".cmd") and
            any(line.startswith("  %s " % source) for line in lines_of("%s/%s" % (root, f)))]
        if not found:
            return None
        return self.words(found[0])

    @staticmethod
    def words(cmd):
        """Of a .cmd file: the compiler's command, without what is written where."""
        text = re.match(r"(?:saved)?cmd_\S+ := (.*)", lines_of(cmd)[0]).group(1)
        words = shlex.split(re.split(r"\s;\s|;\s", text)[0])
        keep, skip = [], False
        for word in words:
            if skip or word in ("-c", "-S") or word.startswith("-Wp,-M"):
                skip = False
            elif word == "-o":
                skip = True
            else:
                keep.append(word)
        return keep


def c_uses(kernel, scratch):
    """By the compiler's own parser, whose answers name the declaration."""
    tool = scratch + "/refs"
    llvm = "/usr/lib/llvm-14"
    run(["gcc", "-O2", "-I%s/include" % llvm, "-o", tool, HERE + "/refs.c",
         "-L%s/lib" % llvm, "-lclang-14"])
    with open(scratch + "/files", "w") as f:
        f.write("".join(path + "\n" for path in kernel.sources((".c", ".h"))))
    commands = [kernel.command(source) for source in kernel.sources(".c")]
    # What bindgen parses, as the compiler would.
    bindgen = kernel.words(kernel.module + "/moat/kernel/.bindings_generated.rs.cmd")
    commands.append(["clang-14"] + bindgen[bindgen.index("--") + 1:] + [bindgen[1]])
    for command in filter(None, commands):  # what is in this kernel
        for line in run([tool, scratch + "/files"] + command, cwd=kernel.build).splitlines():
            kind, name, path, at, user, user_at = line.split("\t")
            if kernel.ours(user, int(user_at)) and not kernel.ours(path, int(at)):
                yield Use(kind, name, kernel.where(path))


def asm_uses(kernel):
    """Names in our lines that are macros, of the preprocessor or the assembler."""
    for source in kernel.sources(".S"):
        command = kernel.command(source)
        if not command:
            continue
        defined, at = {}, source
        for line in run(command + ["-E", "-dD"], cwd=kernel.build).splitlines():
            mark = re.match(r'# \d+ "(.*?)"', line)
            if mark:
                at = mark.group(1)
                continue
            name = re.match(r"#define (\w+)|\s*\.macro (\w+)", line)
            if name and not at.startswith("<"):
                defined[name.group(1) or name.group(2)] = at
        for _, text in kernel.our_text(source):
            for name in WORD.findall(re.sub(r"/\*.*?\*/|/\*.*|^ \*.*", "", text)):
                where = kernel.where(defined.get(name, source))
                if where not in kernel.added and not where.startswith("/"):
                    yield Use("macro", name, where)


def text_uses(kernel):
    """Included files, and symbols of the configuration."""
    configs = set()
    for f in kernel.sources((".c", ".h", ".S", "/Kconfig")):
        kconfig = f.endswith("/Kconfig")
        for _, text in kernel.our_text(f):
            name = re.match(r"\s*#\s*include\s+<(.*)>", text)
            if name and not OURS.search(name.group(1)):
                yield Use("header", name.group(1), "")
            configs.update(re.findall(r"\bCONFIG_(\w+)", text))
            if kconfig and re.match(r"\s+(depends|select|imply|default)\b", text):
                configs.update(w for w in WORD.findall(text) if w.isupper())
    for name in configs:
        yield Use("config", name, "")


def rust_uses(kernel, scratch):
    """By rustc's: what is of the crates `bindings` (C), `kernel` and `alloc`."""
    def rustc(cmd, *how):
        words = kernel.words(cmd)
        env = {}
        while re.match(r"[A-Z_]+=", words[0]):
            env.update([words.pop(0).split("=", 1)])
        if "--out-dir" in words:
            at = words.index("--out-dir")
            del words[at:at + 2]
        words = [w for w in words if not w.startswith("--emit")]
        return run(words + list(how), cwd=kernel.build,
                   env=dict(os.environ, RUSTC_BOOTSTRAP="1", **env))

    def analysis(cmd, crate):
        rustc(cmd, "--emit=metadata", "-Zsave-analysis", "--out-dir", scratch)
        for root, _, names in os.walk(scratch):
            if "lib%s.json" % crate in names:
                with open("%s/lib%s.json" % (root, crate)) as f:
                    return json.load(f)
        return die("rustc has not analysed " + crate)

    ours = set()
    for f in kernel.sources(".h"):
        for _, text in kernel.our_text(f):
            ours.update(re.findall(r"^#\s*define\s+(\w+)", text))
            if kernel.added.get(kernel.where(f)):  # a field, in a header that was there
                ours.update(re.findall(r"(\w+)(?:\[.*\])?;", text))
    for f in kernel.sources(".rs"):
        if not f.startswith(kernel.module):
            for _, text in kernel.our_text(f):
                ours.update(re.findall(r"\b(?:fn|macro_rules!) (\w+)", text))

    def bound(kind, path):
        """What an item of bindgen's is in C, if it is not what the patches add."""
        name, owner = path[-1], re.sub(r"__bindgen.*", "", path[-2]) if len(path) > 1 else ""
        if name.startswith("__bindgen") or name in ours:
            return None
        if kind == "Method" and re.fullmatch(r"<\w+>", path[-2]):  # of a bit field
            return Use("field", "%s.%s" % (path[-2][1:-1], re.sub("^set_", "", name)), "rust/bindings")
        if kind == "Field":
            return Use("field", "%s.%s" % (owner, name.rstrip("_")), "rust/bindings")
        if kind == "Const":  # of an enumeration, with its name in front
            ends = [at for at, c in enumerate(name) if c == "_" and name[:at] in types]
            return Use("constant", name[max(ends) + 1:] if ends else name, "rust/bindings")
        kinds = {"ForeignFunction": "function", "ForeignStatic": "variable",
                 "Struct": "type", "Union": "type", "Type": "type"}
        return Use(kinds[kind], name, "rust/bindings") if kind in kinds else None

    ours_cmd = kernel.module + "/moat/.main.o.cmd"
    main = analysis(ours_cmd, "main")
    bindings = {d["id"]["index"]: (d["kind"], d["qualname"].split("::"))
                for d in analysis(kernel.build + "/rust/.bindings.o.cmd", "bindings")["defs"]}
    # Constants that the kernel's own bindings do not have, and ours do.
    generated = [(d["id"]["index"], d["kind"], d["qualname"].split("::"))
                 for d in main["defs"] if d["span"]["file_name"].endswith("/bindings_generated.rs")]
    own = {index: path for index, kind, path in generated
           if kind == "Const" and not re.match("BINDINGS_|moat_", path[-1])}
    types = {path[-1] for kind, path in bindings.values() if kind == "Type"}
    types.update(path[-1] for _, kind, path in generated if kind == "Type")
    crates = {c["num"]: c["id"]["name"] for c in main["prelude"]["external_crates"]}
    texts = {}
    for ref in main["refs"]:
        crate = crates.get(ref["ref_id"]["krate"])
        if ref["ref_id"]["krate"] == 0 and ref["ref_id"]["index"] in own:
            use = bound("Const", own[ref["ref_id"]["index"]])
            if use:
                yield use
        span = ref["span"]
        path = os.path.join(kernel.build, span["file_name"])
        if crate not in ("bindings", "kernel", "alloc") or not path.startswith(kernel.module) \
                or path.endswith("/bindings_generated.rs"):
            continue
        text = texts.setdefault(path, lines_of(path))[span["line_start"] - 1]
        name = text[span["column_start"] - 1:span["column_end"] - 1] if \
            span["line_start"] == span["line_end"] else ""
        if crate != "bindings":
            if WORD.fullmatch(name) and name not in ours:
                yield Use("rust", "%s::%s" % (crate, name), "rust/" + crate)
            continue
        use = bound(*bindings.get(ref["ref_id"]["index"], ("", [""])))
        if use:
            yield use
    # An analysis leaves out what macros name.  This is what becomes of them: each expression
    # with its type, `(it as *const kernel::bindings::owner).field as ..`, and `{function}`.
    typed = " ".join(rustc(ours_cmd, "-Zunpretty=hir,typed", "-Ztrim-diagnostic-paths=no").split())
    named = [("Field", names) for names in re.findall(
        r"as (?:[&*](?:const |mut )?)*kernel::bindings::(\w+)\)+\.(\w+) as ", typed)]
    named += [("ForeignFunction", (name,)) for name in re.findall(
        r"\{kernel::bindings::(\w+)\}", typed)]
    for kind, names in named:
        use = bound(kind, names)
        if use:
            yield use
    for ref in main["macro_refs"]:
        name = ref["qualname"].split("::")[-1]
        if "/rust/" in ref["callee_span"]["file_name"] and name not in ours:
            yield Use("rust", name + "!", "rust/kernel")


def symbols(kernel):
    """What our objects need of others."""
    objects = [kernel.module + "/moat.ko"]
    for f in kernel.touched:
        o = "%s/%s.o" % (kernel.build, f.rsplit(".", 1)[0])
        if f.endswith((".c", ".S")) and kernel.added[f] is None and os.path.exists(o):
            objects.append(o)
    undefined, defined = set(), set()
    for o in objects:
        for line in run(["nm", o]).splitlines():
            kind, name = line.split()[-2:]
            (undefined if kind in "Uvw" else defined).add(name)
    return undefined - defined


def collect(variants):
    uses = set()
    for variant in variants:
        kernel = Kernel(variant)
        with tempfile.TemporaryDirectory(prefix="moat-uses.") as scratch:
            uses.update(c_uses(kernel, scratch))
            if variant == variants[0]:  # the same for all
                uses.update(rust_uses(kernel, scratch))
        uses.update(asm_uses(kernel))
        uses.update(text_uses(kernel))
        named = {u.name.split("::")[-1] for u in uses}
        uses.update(Use("symbol", name, "") for name in symbols(kernel) - named
                    if not name.startswith("_R"))
    found, in_c = {}, {u.name for u in uses if u.where != "rust/bindings"}
    for u in sorted(uses):
        if u.where == "rust/bindings" and u.name in in_c:
            continue
        if OURS.search(u.name) or (u.kind, u.name.split(".")[-1]) == ("config", ""):
            continue
        found.setdefault(u[:2], u)
    return found
