# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian machine in QEMU, made by scripts/machine-images, and its shell."""

import base64
import mmap
import os
import select
import shlex
import signal
import socket
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("VMCRYPT_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vmcrypt")
IMAGES = os.path.join(CACHE, "machines")
KERNEL = os.path.join(CACHE, "kernel-6.1/vmlinuz")
KVM = subprocess.run([os.path.join(TOP, "scripts/kvm-works")], check=False).returncode == 0
# Times are those of a machine with KVM; an emulated one on a busy one takes much longer
PATIENCE = 1 if KVM else 6
BOOT_TIMEOUT = 150 * PATIENCE  # s


def holds(path, needle):
    """Does the file hold these bytes anywhere?"""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view.find(needle) >= 0


class Failure(Exception):
    """Something did not go as it must; the text says what."""


class NotBooted(Failure):
    """The kernel ended before there was a process."""


class Machine:
    """One QEMU process with a Debian system, and a shell on its second serial line.

    The folder gets console.log (kernel and systemd), and the sockets.
    """

    def __init__(self, name, folder, memory=1024, cpus=2):
        self.name = name
        self.folder = folder
        self.arguments = ["-M", "q35", "-m", str(memory), "-nodefaults", "-no-user-config",
                          "-display", "none", "-no-reboot", "-smp", str(cpus),
                          "-kernel", KERNEL, "-initrd", os.path.join(IMAGES, "root.cpio"),
                          "-append", "console=ttyS0 loglevel=5 audit=0 panic=-1 oops=panic no_timer_check "
                                     "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 "
                                     "systemd.show_status=false net.ifnames=1"]
        if KVM:
            self.arguments += ["-accel", "kvm", "-cpu", "host"]
        else:
            self.arguments += ["-accel", "tcg,thread=multi", "-cpu", "max"]
        self.process = None
        self.line = None
        self.pending = b""
        self.boots = 0
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def append(self, words):
        """To the kernel's command line"""
        self.arguments[self.arguments.index("-append") + 1] += " " + words

    def start(self):
        """Starts the machine and waits until its shell answers.

        QEMU 7.2 at times loses its way in an early kernel: what ended before there
        was a process starts again.
        """
        for _ in range(2):
            try:
                self.boot()
                return
            except NotBooted as failure:
                print(f"# {failure}: starting it again", flush=True)
        self.boot()

    def boot(self):
        self.boots += 1
        console = self.path(f"console-{self.boots}.log")
        shell = self.path("shell")
        if os.path.exists(shell):
            os.unlink(shell)
        arguments = self.arguments + [
            "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console",
            "-chardev", f"socket,id=shell,path={shell},server=on,wait=off", "-serial", "chardev:shell"]
        with open(self.path("qemu.log"), "ab") as log:
            self.process = subprocess.Popen(["qemu-system-x86_64"] + arguments, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        self.line = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.line.connect(shell)
                break
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{self.name}: QEMU did not start: {self.last_words()}") from error
                time.sleep(0.1)
        self.pending = b""
        try:
            self.read_line(BOOT_TIMEOUT, "READY")
        except Failure as failure:
            if self.has_ended() and not (os.path.getsize(console) and holds(console, b"init begins")):
                raise NotBooted(str(failure)) from failure
            raise

    def has_ended(self):
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self):
        with open(self.path("qemu.log"), encoding="utf-8", errors="replace") as log:
            return log.read()[-500:].strip()

    def read_line(self, timeout, prefix):
        """The next line that begins with the prefix."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\n" in self.pending:
                line, self.pending = self.pending.split(b"\n", 1)
                text = line.decode(errors="replace").strip()
                if text.startswith(prefix):
                    return text
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"{self.name}: no {prefix} within {timeout} s")
            if select.select([self.line], [], [], min(left, 1))[0]:
                data = self.line.recv(65536)
                if not data:
                    raise Failure(f"{self.name}: the machine went down: {self.last_words()}")
                self.pending += data

    def try_run(self, command, timeout=60):
        """Runs a command by bash; returns its exit status and its output."""
        timeout *= PATIENCE
        wrapped = f"timeout -k 5 {timeout} bash -c {shlex.quote(command)}"
        self.line.sendall(base64.b64encode(wrapped.encode()) + b"\n")
        fields = self.read_line(timeout + 30, "DONE").split(" ")
        output = base64.b64decode(fields[2]).decode(errors="replace") if len(fields) > 2 else ""
        return int(fields[1]), output

    def run(self, command, timeout=60):
        """The same, for a command that must not fail; returns its output."""
        status, output = self.try_run(command, timeout)
        if status != 0:
            raise Failure(f"{self.name}: '{command}' failed with status {status}: {output.strip()[-2000:]}")
        return output

    def wait_off(self, timeout=120):
        """Waits until the machine has powered off by itself."""
        timeout *= PATIENCE
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.name}: still running {timeout} s after it was told to power off") from error
        self.line.close()
        self.process = None

    def power_off(self):
        # A moment later, or the shell ends before it has answered
        self.run("(sleep 1; systemctl poweroff) >/dev/null 2>&1 &")
        self.wait_off()

    def reboot(self):
        """QEMU ends where the machine would start anew, and is started again:
        all its devices begin from nothing."""
        self.run("(sleep 1; systemctl reboot) >/dev/null 2>&1 &")
        self.wait_off()
        self.start()

    def kill(self):
        """Ends what is left of it, whatever its state."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def complaints(self):
        """What the kernel complained of on its console."""
        lines = []
        for boot in range(1, self.boots + 1):
            result = subprocess.run([os.path.join(TOP, "scripts/console-check"), self.path(f"console-{boot}.log")],
                                    capture_output=True, text=True, check=False)
            if result.returncode:
                lines.append(result.stdout + result.stderr)
        return "".join(lines)


class Tpm:
    """A software TPM 2.0 for one machine; it keeps its state over power cycles."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(os.path.join(folder, "state"), exist_ok=True)
        subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", os.path.join(folder, "state"),
                        "--createek", "--overwrite", "--logfile", os.path.join(folder, "setup.log")],
                       check=True, stdout=subprocess.DEVNULL)
        self.process = None

    def start(self):
        self.kill()
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={os.path.join(self.folder, 'state')}",
             "--ctrl", f"type=unixio,path={os.path.join(self.folder, 'ctrl')}",
             "--log", f"file={os.path.join(self.folder, 'swtpm.log')},level=1", "--terminate"],
            stdin=subprocess.DEVNULL)

    def arguments(self):
        return ["-chardev", f"socket,id=tpm,path={os.path.join(self.folder, 'ctrl')}",
                "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"]

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
