# SPDX-License-Identifier: LGPL-2.1-or-later
"""A site for tests: vmcrypt-manager, vmcryptd of one host and PyKMIP, all real, without the kernel module.

The host dials the manager through a relay, so that it can be away while both go on.
"""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

from kmip.pie.client import ProxyKmipClient

import pykmip
from tap import BUILD, ctl, equal

FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-unit-", dir=pykmip.MEMORY)
VM = "11111111-2222-4333-8444-555555555555"
PORT = pykmip.free_port()
STARTED = []
SITE = {}


def path(*parts):
    return os.path.join(FOLDER.name, *parts)


def write(name, text):
    with open(path(name), "w", encoding="utf-8") as file:
        file.write(text)
    return path(name)


def until(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


class Relay:
    """Between the host and the manager; cut, nothing gets through."""

    def __init__(self, port):
        self.to = port
        self.up = True
        self.pairs = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            here, _ = self.socket.accept()
            try:
                there = socket.create_connection(("127.0.0.1", self.to)) if self.up else None
            except OSError:
                there = None
            if not there:
                here.close()
                continue
            self.pairs += [here, there]
            for pair in (here, there), (there, here):
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    @staticmethod
    def pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in source, sink:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.up = False
        for end in self.pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()

    def mend(self):
        self.up = True


def start(name, *words):
    with open(path(name + ".log"), "ab") as log:
        process = subprocess.Popen([os.path.join(BUILD, words[0]), *words[1:]], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
    STARTED.append(process)
    return process


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    STARTED.remove(process)


def anna(*words):
    return ctl("--manager", f"https://localhost:{PORT}", "--ca", path("ca.pem"), "--token-file", path("session"),
               *words)


def good(*words):
    result = anna("--json", *words)
    equal((result.returncode, result.stderr), (0, ""), words)
    return json.loads(result.stdout) if result.stdout else None


def refused(says, *words, status=1):
    result = anna(*words)
    equal(result.returncode, status, (words, result.stdout, result.stderr))
    assert says in result.stderr, (words, result.stderr)


def agent(*words):
    return ctl("--socket", path("sock"), *words)


def works(*words):
    result = agent(*words)
    equal(result.returncode, 0, (words, result.stderr))
    return result.stdout


def host():
    return good("host", "show", "kvm1")


def outcomes(operation):
    events = good("event", "list", "--operation", operation, "--limit", "1000")["events"]
    return [event for event in events if event["phase"] == "outcome"]


def serve():
    """The manager, which has no sessions when it begins."""
    SITE["manager"] = start("manager", "vmcrypt-manager", "serve", "--dir", path("manager"), "--listen", "127.0.0.1",
                            "--port", str(PORT))


def serve_again():
    serve()
    until("the manager serves again", lambda: anna("session", "create", "anna", "--password-file",
                                                   path("anna")).returncode == 0)
    until("the host is connected again", lambda: host()["connected"])


def start_agent(name, state, sock):
    return start(name, "vmcryptd", "--config", path("conf"), "--state", path(state), "--socket", path(sock),
                 "--disks", path("disks"))


def answers():
    return os.path.exists(path("sock")) and agent("status").returncode == 0


def restart_agent():
    """It forgets what it had in memory."""
    end(SITE["agent"])
    SITE["agent"] = start_agent("agent", "state", "sock")
    until("the agent answers again", answers)


def a_host_joins():
    write("anna", "anna's password\n")
    subprocess.run([os.path.join(BUILD, "vmcrypt-manager"), "init", "--dir", path("manager"), "--name", "localhost",
                    "--admin", "anna", "--password-file", path("anna"), "--key-file"],
                   check=True, stdout=subprocess.DEVNULL, timeout=120)
    serve()
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE

    def about():
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"https://127.0.0.1:{PORT}/api/v1/about", timeout=60, context=blind) as answer:
                return json.load(answer)
    until("the manager serves", about)
    write("ca.pem", about()["authority"]["certificate"])
    good("session", "create", "anna", "--password-file", path("anna"))
    for cluster in "farm", "barn":
        good("cluster", "create", cluster)
    good("host", "token", "--out", path("token"), "--cluster", "farm")
    SITE["relay"] = Relay(PORT)
    write("conf", "[Agent]\nBootWaitSec=1\n[TPM]\nTcti=device:/nonexistent\n")
    write("disks", "")
    SITE["agent"] = start_agent("agent", "state", "sock")
    until("the agent answers", answers)
    works("host", "join", f"https://localhost:{SITE['relay'].port}", "--token-file", path("token"), "--name", "kvm1")
    until("the host is connected", lambda: host()["connected"])
    os.mkdir(path("kmip"))
    pykmip.certificates(path("kmip"))
    SITE["kmip"] = pykmip.Server(path("kmip"))
    good("provider", "create", "kms", "--type", "standard")
    good("certificate", "set", "kms", "upload", "--file", path("kmip", "client.pem"),
         "--key-file", path("kmip", "client.key"))
    good("server", "add", "kms", "k", "127.0.0.1", "--port", SITE["kmip"].port, "--legacy", "--server-ca",
         path("kmip", "ca.pem"))
    equal((host()["mode"], host()["keys_to_forget"]), ("prepared", []))


def at_key_server():
    """PyKMIP's own client."""
    return ProxyKmipClient(hostname="127.0.0.1", port=SITE["kmip"].port, cert=path("kmip", "client.pem"),
                           key=path("kmip", "client.key"), ca=path("kmip", "ca.pem"), ssl_version="PROTOCOL_TLSv1_2")


def move_vm(cluster):
    equal(good("vm", "move", "web", "--cluster", cluster)["name"], "web")


def away():
    SITE["relay"].cut()
    until("the manager sees that the host is away", lambda: not host()["connected"])


def back():
    SITE["relay"].mend()
    until("the host is connected again", lambda: host()["connected"] and host()["reported"])


def finish():
    """Ends all that runs."""
    for process in reversed(STARTED):
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
    if "kmip" in SITE:
        SITE["kmip"].stop()
