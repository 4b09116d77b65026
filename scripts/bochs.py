# SPDX-License-Identifier: GPL-2.0
"""A guest of scripts/guest under Bochs: another CPU than QEMU's, with PKS and PCIDs.

Bochs has no 9p: kernel and initramfs are on a CD, and in the initramfs is what the command
names, with its libraries. Console, output and status come by a serial port each.
"""
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
# A second of the guest is so many instructions; Bochs runs two or three times as many in
# one of ours. Its CPUID has the TSC 4.2 GHz, but what the TSC counts is instructions.
IPS = 25000000
MODEL = "arrow_lake"
# More of it than its name: Linux would have to know a size of AMX state that is not Bochs's.
MODELS = {"max,+pks": MODEL, "sapphire_rapids":
          'sapphire_rapids, exclude_features="amx,amx_bf16,amx_int8"'}
# clearcpuid: no FSRM, since this kernel clears ERMS for want of MSR_IA32_MISC_ENABLE, which
# Bochs does not have, and its memmove() for FSRM goes on to the one for ERMS; and no
# APERFMPERF, which Bochs does not have either, and each tick would look for. A byte on
# the console takes 87 us of the guest's time, so only warnings go there.
BOOT = ("console=ttyS0 loglevel=5 panic=0 random.trust_cpu=on watchdog_thresh=60 tsc=reliable "
        "tsc_early_khz=%d lapic=notscdeadline clearcpuid=580,124" % (IPS // 1000))
# Busybox has poorer ones, which its own shell would prefer to these.
TOOLS = ["sh", "ip", "tc", "rmmod"]
# More have not been tried.
MOST_CPUS = 4

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox mount -t tmpfs -o mode=1777 tmp /tmp
exec /bin/sh /run/moat/rc
"""

BOCHSRC = """\
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=0, parallel=0, serial=1, e1000=0, sb16=0
config_interface: textconfig
display_library: term
romimage: file={share}/BIOS-bochs-latest
vgaromimage: file={share}/VGABIOS-lgpl-latest
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
memory: guest={mem}, host={mem}
clock: sync=none
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={run}/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={run}/console
com2: enabled=1, mode=file, dev={run}/output
com3: enabled=1, mode=file, dev={run}/status
log: {run}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


def libraries(path):
    """What the dynamic linker would load for it, itself included."""
    said = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return re.findall(r"(/\S+) \(0x", said.stdout.decode())


def named_files(o, env):
    """The files that the command names, by path or as a program in PATH."""
    words = set(re.split(r"[\s;&|()<>'\"`]+", o.cmd))
    for word in words:
        for name, value in env.items():
            word = re.sub(r"\$(%s|\{%s\})(?=\W|$)" % (name, name), lambda _: str(value), word)
        path = os.path.join(env["MOAT_CHECKOUT"], word)
        if word.startswith("/proc/") or word.startswith("/sys/") or word.startswith("/dev/"):
            continue
        if os.path.isfile(path):
            yield os.path.normpath(path)
        elif word and "/" not in word and shutil.which(word):
            yield shutil.which(word)


class Root:
    """The directory that becomes the initramfs."""

    def __init__(self, path):
        self.path = path
        for d in "bin dev proc sys tmp run/moat etc usr/bin".split():
            os.makedirs(self.at(d))

    def at(self, path):
        return os.path.join(self.path, path.lstrip("/"))

    def add(self, path, strip=True):
        """@path of this machine, and what it is linked to; a link becomes the file."""
        to = self.at(path)
        if os.path.lexists(to):
            return
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(path, "rb") as f:
            elf = f.read(4) == b"\x7fELF"
        if not (elf and strip and subprocess.run(
                ["strip", "-g", "-o", to, path], stderr=subprocess.DEVNULL).returncode == 0):
            shutil.copyfile(path, to)
        os.chmod(to, 0o755)
        if elf and not path.endswith(".ko"):
            for library in libraries(path):
                self.add(library)

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "w") as f:
            f.write(text)
        os.chmod(self.at(path), mode)

    def pack(self, to):
        subprocess.run(["sh", "-c", "find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | "
                        'gzip -6 >"$0"', to], cwd=self.path, check=True)


def make_root(o, env, run):
    root = Root(run + "/root")
    root.add("/bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, check=True)
    for applet in applets.stdout.decode().split():
        if applet not in TOOLS and not os.path.lexists(root.at("bin/" + applet)):
            os.symlink("/bin/busybox", root.at("bin/" + applet))
    for tool in filter(None, map(shutil.which, TOOLS)):
        root.add(tool)
    if not os.path.lexists(root.at("bin/sh")):
        os.symlink(os.path.relpath(shutil.which("sh"), "/bin"), root.at("bin/sh"))
    root.write("init", INIT, 0o755)
    for name in "env", "cmd", "rc":
        with open(run + "/" + name) as f:
            root.write("run/moat/" + name, f.read())
    os.makedirs(root.at(env["MOAT_CHECKOUT"]), exist_ok=True)
    if o.level != "none":
        root.add(o.ko)
    for path in named_files(o, env):
        if not os.path.lexists(root.at("bin/" + os.path.basename(path))):
            root.add(path)
    root.pack(run + "/initramfs.gz")
    shutil.rmtree(root.path)


def make_cd(o, run):
    cd = run + "/cd"
    os.makedirs(cd + "/boot/grub")
    shutil.copy(o.kernel, cd + "/boot/kernel")
    os.rename(run + "/initramfs.gz", cd + "/boot/initramfs")
    append = "%s%s %s" % (BOOT, "" if o.oops_allow else " oops=panic", o.append)
    with open(cd + "/boot/grub/grub.cfg", "w") as f:
        f.write("set timeout=0\nlinux /boot/kernel %s\ninitrd /boot/initramfs\nboot\n" % append)
    said = subprocess.run(
        ["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "--install-modules=linux normal iso9660 biosdisk",
         "--locales=", "--fonts=", "--themes=", "-o", run + "/cd.iso", cd],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if said.returncode:
        raise RuntimeError("grub-mkrescue: " + (said.stdout.decode().splitlines() or ["?"])[-1])
    shutil.rmtree(cd)


def megabytes(size):
    number, unit = re.fullmatch(r"(\d+)([MGmg]?)", size).groups()
    return int(number) * (1024 if unit in "Gg" and unit else 1)


class Tail:
    """What is new in a file that somebody else writes."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def read(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.at)
                text = f.read()
        except OSError:
            return b""
        self.at += len(text)
        return text


def unfit(o):
    """Why this guest cannot be had here, if it cannot."""
    if o.shell or o.icount or o.nmi or o.qemu_opts:
        return "EMULATOR=bochs has no shell, ICOUNT, NMI or QEMU_OPTS"
    if o.cpus > MOST_CPUS:
        return "CPUS=%d: with EMULATOR=bochs at most %d" % (o.cpus, MOST_CPUS)
    return None


def emulator():
    """Where it is, once all that it needs is there."""
    said = subprocess.run([HERE + "/bochs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if said.returncode:
        raise RuntimeError(said.stderr.decode().strip())
    return said.stdout.decode().strip()


def start(o, run, where):
    with open(run + "/bochsrc", "w") as f:
        f.write(BOCHSRC.format(
            share=where + "/share", run=run, cpus=o.cpus, ips=IPS, mem=min(megabytes(o.mem), 1024),
            model=MODELS.get(o.cpu, o.cpu)))
    ours, theirs = pty.openpty()
    env = dict(os.environ, LTDL_LIBRARY_PATH=where + "/lib", BXSHARE=where + "/share",
               TERM="xterm", LINES="50", COLUMNS="100")
    guest = subprocess.Popen(
        [where + "/lib/ld-linux-x86-64.so.2", "--library-path", where + "/lib",
         where + "/bochs-bin", "-q", "-f", run + "/bochsrc"],
        # When the guest is idle it waits a millisecond for a key, each time; not if there
        # is none to come.
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env, cwd=run, start_new_session=True)
    os.close(theirs)
    for terminal in (lambda: ours), (lambda: display(guest.pid)):
        threading.Thread(target=drain, args=(terminal,), daemon=True).start()
    return guest


def display(pid):
    """The terminal that it opens for its display, and for which it waits once that is full."""
    fds = "/proc/%d/fd/" % pid
    while True:
        for fd in os.listdir(fds):
            if os.readlink(fds + fd) != "/dev/ptmx":
                continue
            with open("/proc/%d/fdinfo/%s" % (pid, fd)) as f:
                index = re.search(r"tty-index:\s*(\d+)", f.read()).group(1)
            terminal = os.open("/dev/pts/" + index, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(terminal)
            return terminal
        time.sleep(0.1)


def drain(terminal):
    """Reads what nobody wants to see."""
    try:
        opened = terminal()
        while os.read(opened, 65536):
            pass
    except OSError:
        pass


def boot(o, run, env):
    """As scripts/guest's: (exit status of Bochs, its last words, what was wrong if late)."""
    why = unfit(o)
    if why:
        raise RuntimeError(why)
    where = emulator()
    make_root(o, env, run)
    make_cd(o, run)
    guest = start(o, run, where)
    console, output, status = (Tail(run + "/" + name) for name in ("console", "output", "status"))
    began, late, told, dead = time.monotonic(), "", b"", 0
    try:
        with open(o.log, "ab") as log:
            while True:
                ended = guest.poll() is not None
                text = console.read()
                log.write(text)
                log.flush()
                dead = dead or (time.monotonic() if b"Kernel panic" in text else 0)
                told += status.read()
                sys.stdout.buffer.write(output.read())
                sys.stdout.buffer.flush()
                if ended or b"\n" in told or (dead and time.monotonic() > dead + 3):
                    break
                if time.monotonic() > began + o.timeout:
                    late = "stopped after %g s" % o.timeout
                    break
                time.sleep(0.05)
    finally:
        done = guest.poll()
        guest.kill()
        guest.wait()
    if told or dead or not done:
        done = 0
    return done, last_words(run) if done else "", late


def last_words(run):
    try:
        with open(run + "/bochs.log", errors="replace") as f:
            return "".join(f.read().splitlines()[-1:]) or "Bochs has said nothing"
    except OSError:
        return "Bochs did not start"
