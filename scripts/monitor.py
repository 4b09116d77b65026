# SPDX-License-Identifier: GPL-2.0
"""QEMU's monitor, and what it tells of a guest that hangs."""
import bisect
import re
import threading
import time


class Monitor:
    """QEMU's; one command after another, from any thread."""

    def __init__(self, sock):
        self.sock, self.lock, self.greeted, self.lost = sock, threading.Lock(), False, False
        sock.settimeout(10)

    def ask(self, command):
        with self.lock:
            if self.lost:
                raise OSError("the monitor did not answer in time")
            self.lost = True  # until it has answered: answers carry no name
            if not self.greeted:
                self.reply()
                self.greeted = True
            self.sock.sendall(command.encode() + b"\n")
            said = self.reply().decode(errors="replace")
            self.lost = False
            return said

    def words(self, address, count):
        """Quad words of the current CPU's memory, in hexadecimal."""
        said = self.ask("x /%dgx 0x%s" % (count, address))
        rows = re.findall(r"^\w+: (0x.*)", said, re.M)  # and not the echo
        return re.findall(r"0x(\w{16})", " ".join(rows))

    def reply(self):
        seen = b""
        while not seen.endswith(b"(qemu) "):
            got = self.sock.recv(4096)
            if not got:
                raise OSError("the monitor is gone")
            seen += got
        return seen


class Symbols:
    """Names for addresses in the kernel's text, which may be anywhere."""

    def __init__(self, kbuild, monitor):
        known = []
        try:
            with open(kbuild + "/System.map") as f:
                lines = [line.split() for line in f]
            known = sorted((int(l[0], 16), l[2]) for l in lines if l[1] in "tTwW")
            known = known[:[k[1] for k in known].index("_etext") + 1]
        except (OSError, ValueError):
            pass
        self.starts, self.names = [k[0] for k in known], [k[1] for k in known]
        # The gate of vector 0 says where.
        idt = re.search(r"IDT= *(\w+)", monitor.ask("info registers")).group(1)
        low, high = monitor.words(idt, 2)
        gate = int(high[8:] + low[:4] + low[12:], 16)
        self.moved = gate - dict(zip(self.names, self.starts)).get("asm_exc_divide_error", gate)

    def name(self, address):
        """`symbol+offset`, or None for what is no text."""
        address -= self.moved
        i = bisect.bisect(self.starts, address)
        if not 0 < i < len(self.starts):
            return None
        return "%s+%#x" % (self.names[i - 1], address - self.starts[i - 1])


def where_it_hangs(kbuild, monitor):
    """What each CPU does, twice, and what may be return addresses on its stack."""
    symbols = Symbols(kbuild, monitor)
    for again in False, True:
        if again:
            time.sleep(1)
        said = monitor.ask("info registers -a")
        for found in re.finditer(r"CPU#(\d+).*?RSP=(\w+).*?RIP=(\w+) RFL=(\w+).*?CR3=(\w+)", said, re.S):
            cpu, rsp, rip, flags, cr3 = found.groups()
            at = symbols.name(int(rip, 16)) or "0x" + rip
            yield "CPU %s: at %s, IF=%d, CR3=%s" % (cpu, at, int(flags, 16) >> 9 & 1, cr3)
            if again:
                monitor.ask("cpu " + cpu)
                names = [symbols.name(int(word, 16)) for word in monitor.words(rsp, 256)]
                yield "    " + " ".join(name for name in names if name)
                apic = re.findall(r"^(?:ISR|IRR).*", monitor.ask("info lapic " + cpu), re.M)
                yield "    " + " ".join(" ".join(line.split()) for line in apic)
