#!/usr/bin/env python3
"""Boots a virtual machine that has an RDMA device and runs tests in it: real libibverbs and librdmacm on Soft-RoCE.

    machine.py [--kernel FOLDER] [--timeout SECONDS] [--keep FOLDER] [--file FILE]... [--program NAME]... CASE...

A CASE is `name:seconds:command line`; programs are named by their paths on this machine and lie at the same ones in the
virtual one, with all libraries that they need; what they open by name is given by --file. The cases run one after the
other, in one boot. The machine is QEMU without acceleration (KVM is not always real where it seems to be), so that
everything in it is five to twenty times slower: what it measures says nothing of RDMA.

Exit: 0 all passed, 1 something failed, 2 usage, 77 the machine cannot be had here (ctest: skipped); then a line says why.
"""
import argparse
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KERNEL = str(HERE.parents[1] / "build/third_party/kernel")
SKIPPED = 77
# In the guest, whatever finds them by name.
TOOLS = ("/bin/busybox", "/usr/bin/busybox")
LIBRARIES = ("libibverbs.so.1", "librdmacm.so.1", "libgcc_s.so.1")
PROVIDER = "libibverbs/librxe-rdmav34.so"
LIBRARY_FOLDERS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")


def skip(why):
    print(f"SKIPPED: the tests on Soft-RoCE did not run: {why}", flush=True)
    sys.exit(SKIPPED)


def find(name, *folders):
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return None


def needed_libraries(path):
    """The files of all libraries that a program or a library is linked with."""
    listed = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    for line in listed.stdout.splitlines():
        words = line.split()
        for word in words:
            if word.startswith("/"):
                yield word
                break


class Archive:
    """An initramfs in the making: cpio's newc format."""

    def __init__(self, work):
        self.work = work
        self.entries = {}  # path in the guest: (mode, bytes or path here)

    def add_bytes(self, path, content, mode=0o644):
        self._folders(path)
        self.entries[path] = (stat.S_IFREG | mode, content)

    def add_link(self, path, target):
        self._folders(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def add_file(self, path, at=None):
        """A file of this machine, and if it is a program or a library all that it is linked with."""
        at = at or path
        if at in self.entries:
            return
        source = os.path.realpath(path)
        self._folders(at)
        self.entries[at] = (stat.S_IFREG | (os.stat(source).st_mode & 0o777), pathlib.Path(source))
        with open(source, "rb") as file:
            is_elf = file.read(4) == b"\x7fELF"
        if is_elf:
            for library in needed_libraries(source):
                self.add_file(library)

    def _folders(self, path):
        parent = os.path.dirname(path)
        while parent not in ("", "/") and parent not in self.entries:
            self.entries[parent] = (stat.S_IFDIR | 0o755, b"")
            parent = os.path.dirname(parent)

    def _content(self, source):
        if not isinstance(source, pathlib.Path):
            return source
        content = source.read_bytes()
        if content[:4] != b"\x7fELF" or source.suffix == ".ko":
            return content
        # Debug information is most of a program, and nobody looks at it there.
        stripped = os.path.join(self.work, "stripped")
        done = subprocess.run(["strip", "--strip-debug", "-o", stripped, str(source)], stderr=subprocess.DEVNULL, check=False)
        return pathlib.Path(stripped).read_bytes() if done.returncode == 0 else content

    def write(self, out):
        number = 0
        for path in sorted(self.entries) + ["TRAILER!!!"]:
            mode, source = self.entries.get(path, (0, b""))
            content = self._content(source)
            name = path.lstrip("/").encode() + b"\0"
            number += 1
            fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
            header = b"070701" + b"".join(b"%08x" % field for field in fields)
            out.write(header + name + b"\0" * (-(len(header) + len(name)) % 4))
            out.write(content + b"\0" * (-len(content) % 4))


def tools_of_this_machine(kernel):
    if not os.path.exists(os.path.join(kernel, "vmlinuz")):
        skip("there is no kernel; scripts/fetch_kernel.sh unpacks Debian's (scripts/setup.sh does)")
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        skip("there is no qemu-system-x86_64; install qemu-system-x86 (scripts/setup.sh does)")
    busybox = next((path for path in TOOLS if os.path.exists(path)), None)
    if busybox is None:
        skip("there is no busybox; install busybox-static (scripts/setup.sh does)")
    if shutil.which("zstd") is None:
        skip("there is no zstd; install zstd (scripts/setup.sh does)")
    paths = {"qemu": qemu, "busybox": busybox}
    for name in ("ip", "rdma"):
        paths[name] = find(name, "/sbin", "/usr/sbin", "/bin", "/usr/bin")
        if paths[name] is None:
            skip(f"there is no {name}; install iproute2 (scripts/setup.sh does)")
    for name in LIBRARIES + (PROVIDER,):
        paths[name] = find(name, *LIBRARY_FOLDERS)
        if paths[name] is None:
            skip(f"there is no {name}; install ibverbs-providers and librdmacm1 (scripts/setup.sh does)")
    return paths


def add_cases(archive, path, cases, slower=1):
    lines = []
    for case in cases:
        name, seconds, command = case.split(":", 2)
        lines.append(f"run {name} {int(seconds) * slower} {command}\n")
        for word in command.split():
            if word.startswith("/") and os.path.isfile(word):
                archive.add_file(word)
    archive.add_bytes(path, "".join(lines).encode())


def build_archive(arguments, tools, work):
    archive = Archive(work)
    archive.add_file(tools["busybox"], "/bin/busybox")
    archive.add_link("/bin/sh", "busybox")
    archive.add_file(tools["ip"], "/usr/sbin/ip")
    archive.add_file(tools["rdma"], "/usr/sbin/rdma")
    for name in LIBRARIES + (PROVIDER,):
        archive.add_file(tools[name])
        # Both folders are one on the machine, but not in the archive.
        for folder in LIBRARY_FOLDERS:
            archive.add_file(tools[name], os.path.join(folder, name))
    archive.add_bytes("/etc/libibverbs.d/rxe.driver", b"driver rxe\n")
    archive.add_bytes("/etc/passwd", b"root:x:0:0:root:/tmp:/bin/sh\n")
    archive.add_bytes("/etc/hosts", b"127.0.0.1 localhost\n10.77.0.1 device\n")
    kernel = pathlib.Path(arguments.kernel)
    order = kernel.joinpath("modules.order").read_text(encoding="utf-8").split()
    for module in order:
        archive.add_file(str(kernel / "modules" / module), f"/modules/{module}")
    archive.add_bytes("/modules.order", "\n".join(order).encode() + b"\n")
    for path in arguments.file:
        archive.add_file(os.path.abspath(path))
    for name in arguments.program:
        path = shutil.which(name)
        if path is None:
            skip(f"there is no {name}; install perftest (scripts/setup.sh does)")
        archive.add_file(path, f"/usr/bin/{name}")
    add_cases(archive, "/cases.sh", arguments.cases, arguments.slower)
    archive.add_file(str(HERE / "guest.sh"), "/init")
    for script in ("each.sh", "faults.sh", "port.sh", "programs.sh", "sessions.sh"):
        archive.add_file(str(HERE / script), f"/{script}")
    for folder in ("/proc", "/sys", "/dev", "/tmp", "/run", "/root"):
        archive.entries[folder] = (stat.S_IFDIR | 0o755, b"")
    return archive


def write_image(archive, path):
    with open(path, "wb") as out:
        packer = subprocess.Popen(["zstd", "-q", "-3", "-T2"], stdin=subprocess.PIPE, stdout=out)
        archive.write(packer.stdin)
        packer.stdin.close()
        return packer.wait() == 0


class Machine:
    """A virtual machine that runs from now on. What it says is in the files `console` and `verdict`."""

    def __init__(self, name, kernel, tools, image, work, processors=2, memory=1536, devices=(), words=()):
        self.console, self.verdict = os.path.join(work, f"{name}.console"), os.path.join(work, f"{name}.verdict")
        # QEMU empties them when it comes to them.
        for path in (self.console, self.verdict):
            open(path, "w", encoding="utf-8").close()
        # A busy host looks like a timer that does not work, and the kernel gives up: no_timer_check.
        # By default it takes QEMU's HPET for its clock, which programs read by a system call of 1.8 us; the TSC is 0.05: tsc=reliable.
        options = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", "nokaslr", "random.trust_cpu=on", "no_timer_check", "tsc=reliable", *words]
        self.process = subprocess.Popen(
            [tools["qemu"], "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", str(processors), "-m", str(memory),
             "-nodefaults", "-no-reboot", "-display", "none", "-kernel", os.path.join(kernel, "vmlinuz"), "-initrd", image,
             "-serial", f"file:{self.console}", "-serial", f"file:{self.verdict}", *devices, "-append", " ".join(options)],
            stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self):
        """At once, as if its power failed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self):
        with open(self.console, encoding="utf-8", errors="replace") as log:
            return log.read()

    def failures(self):
        """How many cases failed: "0", or nothing if it has not come to its end."""
        with open(self.verdict, encoding="utf-8") as file:
            return file.read().strip()


def boot(arguments, tools, work):
    image = os.path.join(work, "initramfs.zst")
    if not write_image(build_archive(arguments, tools, work), image):
        print("error: zstd failed", file=sys.stderr)
        return 1
    machine = Machine("machine", arguments.kernel, tools, image, work, memory=arguments.memory)
    try:
        machine.process.wait(arguments.timeout)
    except subprocess.TimeoutExpired:
        print(f"error: the machine ran for {arguments.timeout} s and was ended", file=sys.stderr)
    finally:
        machine.end()
    for line in machine.said().splitlines():
        print(line.rstrip(), flush=True)
    said = machine.failures()
    # Only a machine that came to its end says anything.
    if said != "0":
        print(f"FAILED: the machine says {said or 'nothing: it ended early'}", flush=True)
        return 1
    print("PASSED: every case on Soft-RoCE", flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default=KERNEL)
    parser.add_argument("--timeout", type=int, default=280)
    parser.add_argument("--file", action="append", default=[], help="a program or library that a case opens by name")
    parser.add_argument("--program", action="append", default=[], help="a program of this machine's PATH that a case runs by name")
    parser.add_argument("--memory", type=int, default=1536, help="MiB")
    parser.add_argument("--slower", type=int, default=1, help="the cases' times are so many times as long: for sanitizers")
    parser.add_argument("--keep", help="a folder for the image and the console's log")
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    tools = tools_of_this_machine(arguments.kernel)
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
        return boot(arguments, tools, arguments.keep)
    with tempfile.TemporaryDirectory(prefix="accelmesh-rdma-") as work:
        return boot(arguments, tools, work)


if __name__ == "__main__":
    sys.exit(main())
