#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real vmcryptd, driven over its socket, on a machine without the kernel module."""

import array
import glob
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

from tap import BUILD, equal, run

AGENT = os.path.join(BUILD, "vmcryptd")
FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-agent-")
STATE = os.path.join(FOLDER.name, "state")
PATH = os.path.join(FOLDER.name, "run", "sock")
DISKS = os.path.join(FOLDER.name, "disks")
CONF = os.path.join(FOLDER.name, "conf")
MIB = 1 << 20


def path(name):
    return os.path.join(FOLDER.name, name)


def write(name, data):
    with open(path(name), "wb") as file:
        file.write(data)
    return path(name)


class Agent:
    """One run of the agent."""

    def __init__(self, conf=b"[Agent]\nBootWaitSec=0\n", disks=b"", ready=True):
        write("conf", conf)
        write("disks", disks)
        notify = path("notify")
        if os.path.exists(notify):
            os.unlink(notify)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(notify)
        self.notify.settimeout(30)
        self.log = open(path("log"), "ab+")
        self.process = subprocess.Popen(
            [AGENT, "--config", CONF, "--state", STATE, "--socket", PATH, "--disks", DISKS],
            stderr=self.log, stdin=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": notify})
        self.told = []
        if ready:
            self.wait_told("READY=1")

    def wait_told(self, line):
        while not any(line in told for told in self.told):
            self.told += self.notify.recv(65536).decode().split("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.notify.close()
            self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait(30)


class Client:
    """A connection that speaks the protocol, rightly or wrongly."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(PATH)
        self.lines = self.socket.makefile("rb")
        self.next = 0

    def send(self, data, files=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        self.socket.sendmsg([data], control)

    def line(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def call(self, op, files=(), seen=None, **args):
        self.next += 1
        request = {"v": 1, "id": self.next, "op": op, "args": args}
        self.send(json.dumps(request).encode() + b"\n", files)
        while True:
            answer = self.line()
            if answer is None:
                raise AssertionError(f"{op}: the connection was closed")
            equal(answer["id"], self.next, "id")
            if "ok" in answer:
                return answer
            if seen is not None:
                seen.append(answer)

    def good(self, op, files=(), seen=None, **args):
        answer = self.call(op, files, seen, **args)
        if not answer["ok"]:
            raise AssertionError(f"{op}: {answer['error']}")
        return answer["result"]

    def bad(self, op, status, errno, files=(), **args):
        answer = self.call(op, files, **args)
        equal(answer["ok"], False, op)
        equal((answer["error"]["status"], answer["error"]["errno"]), (status, errno), answer["error"]["text"])
        return answer["error"]

    def close(self):
        self.lines.close()
        self.socket.close()


def first_client():
    """Of an agent that is not ready: its socket is there before anybody listens"""
    deadline = time.monotonic() + 30
    while True:
        try:
            return Client()
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def pipe_with(data):
    read, end = os.pipe()
    os.write(end, data)
    os.close(end)
    return read


def open_new(name):
    return os.open(path(name), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def make_disk(name="disk", size=24 * MIB):
    with open(path(name), "wb") as file:
        file.truncate(size)
    return path(name)


def events():
    with open(os.path.join(STATE, "events"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_starts_without_the_module():
    disks = b"web1 /dev/nonexistent\nbad\nweb2 UUID=x frob\n"
    with Agent(disks=disks) as agent:
        status = Client().good("status")
        equal(status["mode"], "incapable")
        equal(status["module"]["loaded"], False)
        assert "dm-vmcrypt" in status["module"]["text"]
        assert any("dm-vmcrypt" in warning for warning in status["warnings"])
        equal(status["memory_locked"], True)
        equal(status["pid"], agent.process.pid)
        equal(status["boot"]["failed"], 3)
        lines = status["boot"]["lines"]
        equal([line["line"] for line in lines], [1, 2, 3])
        assert "line 2" in lines[1]["error"] and "frob" in lines[2]["error"]
        equal(status["events"]["healthy"], True)
        equal(os.stat(STATE).st_mode & 0o777, 0o700)
    equal(agent.process.returncode, 0)
    assert not os.path.exists(PATH), "the socket is left behind"


def test_wrong_settings():
    for conf, says in ((b"[Agent]\nWorkers=0\n", "Workers"), (b"[Agent]\nFoo=1\n", "Foo"),
                       (b"[Events]\nFileSizeKiB=1\n", "FileSizeKiB"), (b"Workers=1\n", "conf")):
        write("conf", conf)
        result = subprocess.run([AGENT, "--config", CONF, "--state", STATE, "--socket", PATH],
                                stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        assert result.returncode != 0 and says in result.stderr, result.stderr
    for words in (["--state", "relative"], ["--nonsense"], ["word"]):
        result = subprocess.run([AGENT, *words], stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        equal(result.returncode, 2, result.stderr)


def test_second_agent_is_refused():
    with Agent():
        result = subprocess.run(
            [AGENT, "--config", CONF, "--state", STATE, "--socket", PATH + "2", "--disks", DISKS],
            stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        equal(result.returncode, 1, result.stderr)
        assert "another vmcryptd" in result.stderr, result.stderr
        Client().good("status")


def test_framing():
    with Agent():
        closing = (b"hello\n", b"[]\n", b"\n", b'{"v":1}\n', b'{"v":1,"id":1,"id":2,"op":"status"}\n',
                   b'{"v":1,"id":1,"op":"status","args":' + b"[" * 100 + b"]" * 100 + b"}\n",
                   b"\xff\xfe\n", b"\0\n", b"x" * 65536, b'{"v":1,"id":1,"op":"' + b"y" * 65600 + b'"}\n')
        for data in closing:
            client = Client()
            try:
                client.send(data)
            except BrokenPipeError:
                pass
            answer = client.line()
            equal((answer["id"], answer["ok"], answer["error"]["status"]), (None, False, 2), data[:40])
            try:
                equal(client.line(), None, "the connection stays open")
            except ConnectionResetError:
                pass
            client.close()
        client = Client()
        client.bad("nonsense", 2, "EINVAL")
        client.bad("disk.show", 2, "EINVAL")
        client.bad("disk.show", 2, "EINVAL", name=1)
        client.bad("disk.show", 2, "EINVAL", name="x", more=1)
        client.bad("status", 2, "EINVAL", files=[0])
        client.bad("provider.backup", 2, "EINVAL", files=[0], name="p")
        client.bad("provider.restore", 2, "EINVAL")
        # Byte by byte, and several in one go.
        for byte in b'{"v":1,"id":70,"op":"disk.list"}\n':
            client.send(bytes([byte]))
        equal(client.line(), {"id": 70, "ok": True, "result": {"disks": []}})
        client.send(b"".join(b'{"v":1,"id":%d,"op":"disk.list"}\n' % n for n in range(80, 90)))
        equal(sorted(client.line()["id"] for _ in range(10)), list(range(80, 90)))
        client.close()


def test_slow_client_is_cut_off():
    with Agent():
        slow = Client()
        request = b"".join(b'{"v":1,"id":%d,"op":"nonsense%s"}\n' % (n, b"x" * 50) for n in range(100))
        slow.socket.settimeout(1)
        try:
            for _ in range(3000):
                slow.send(request)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        else:
            raise AssertionError("it takes everything")
        Client().good("status")


def test_too_many_clients():
    with Agent():
        clients = [Client() for _ in range(64)]
        for client in clients:
            client.good("disk.list")
        extra = Client()
        try:
            extra.send(b'{"v":1,"id":1,"op":"status"}\n')
            equal(extra.line(), None, "the 65th client")
        except (BrokenPipeError, ConnectionResetError):
            pass
        for client in clients:
            client.close()
        time.sleep(0.2)
        Client().good("status")


AS_OTHER = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"v":1,"id":1,"op":"status"}\\n')
print(json.loads(s.makefile().readline())["error"]["status"])
"""


def test_privilege():
    os.chmod(FOLDER.name, 0o755)
    with Agent():
        os.chmod(os.path.dirname(PATH), 0o755)
        mode = os.stat(PATH).st_mode & 0o777
        assert mode in (0o600, 0o660), oct(mode)
        os.chmod(PATH, 0o666)  # past the first door
        result = subprocess.run(["python3", "-c", AS_OTHER, PATH], stdout=subprocess.PIPE, text=True,
                                timeout=60, check=True)
        equal(result.stdout.strip(), "4")


def test_provider_and_disk():
    disk = make_disk()
    with Agent():
        client = Client()
        client.bad("disk.create", 1, "ENOENT", device=disk, vm="web1")
        client.bad("provider.create", 2, "EINVAL", type="kmip", name="p1")
        client.bad("provider.create", 2, "EINVAL", type="native", name="p1", allow_unsealed=True, require_tpm=True)
        provider = client.good("provider.create", type="native", name="p1", allow_unsealed=True)
        equal((provider["default"], provider["backed_up"], provider["protection"]), (True, False, "unsealed"))
        client.bad("provider.create", 1, "EEXIST", type="native", name="p1", allow_unsealed=True)
        client.bad("disk.create", 3, "ENOKEY", device=disk, vm="web1")
        backup = open_new("backup")
        result = client.good("provider.backup", files=[backup, pipe_with(b"secret\n")], name="p1")
        equal(result["bytes"], os.stat(path("backup")).st_size)
        steps = []
        made = client.good("disk.create", seen=steps, device=disk, vm="web1")
        equal([step["progress"]["step"] for step in steps], [1, 2, 3, 4, 5])
        equal((made["vm"], made["disk"], made["attached"], made["state"]), ("web1", "disk", False, "absent"))
        client.bad("disk.create", 1, "EEXIST", device=disk, vm="web1")
        client.bad("provider.delete", 1, "EBUSY", name="p1")
        equal(client.good("provider.show", name="p1")["disks"], 1)
        equal(client.good("disk.show", name=disk), made)
        equal(client.good("disk.show", name=made["dek"])["dek"], made["dek"])
        key = open_new("key")
        equal(client.good("disk.export-key", files=[key], device=disk)["bytes"], 64)
        equal(os.stat(path("key")).st_size, 64)
        error = client.bad("disk.attach", 1, "EOPNOTSUPP", device=disk, name="web1")
        assert "dm-vmcrypt" in error["text"], error
        client.bad("key.list", 1, "EOPNOTSUPP")
        client.close()
    opened = subprocess.run(["cryptsetup", "luksDump", disk], stdout=subprocess.PIPE, text=True, check=True)
    assert "vmcrypt" in opened.stdout


def test_restore():
    with Agent():
        client = Client()
        for word, status, errno in ((b"wrong", 1, "EKEYREJECTED"), (b"", 1, None)):
            files = [os.open(path("backup"), os.O_RDONLY), pipe_with(word)]
            answer = client.call("provider.restore", files=files, dry_run=True, allow_unsealed=True)
            equal((answer["ok"], answer["error"]["status"]), (False, status))
            assert errno in (None, answer["error"]["errno"]), answer
        files = [os.open(path("backup"), os.O_RDONLY), pipe_with(b"secret")]
        plan = client.good("provider.restore", files=files, dry_run=True, allow_unsealed=True)
        equal((plan["name"], plan["state"], plan["dry_run"]), ("p1", "same", True))
        # A backup can be tried where there is no TPM, and where nobody asked for none.
        files = [os.open(path("backup"), os.O_RDONLY), pipe_with(b"secret")]
        client.good("provider.restore", files=files, dry_run=True)
        check = client.good("provider.check", name="p1")
        equal((check["ok"], [c["check"] for c in check["checks"]]), (True, ["key", "backup", "protection"]))
        equal([event["operation"] for event in events()[-2:]], ["provider.check"] * 2)
        client.close()


def test_deleted_disk_frees_its_provider():
    """A provider is in use for as long as the header is there, and no longer."""
    with Agent():
        client = Client()
        client.good("provider.create", type="native", name="p2", allow_unsealed=True)
        client.good("provider.backup", files=[open_new("backup2"), pipe_with(b"x")], name="p2")
        disk = make_disk("disk2")
        client.good("disk.create", device=disk, vm="v", provider="p2")
        client.bad("provider.delete", 1, "EBUSY", name="p2")
        make_disk("disk2")
        client.good("provider.delete", name="p2")
        client.bad("provider.show", 1, "ENOENT", name="p2")
        client.close()


def test_lock_outlives_the_agent():
    with Agent():
        client = Client()
        disk = client.good("disk.show", name=path("disk"))
        equal(client.good("disk.lock", name=disk["dek"])["locked"], True)
        client.close()
    with Agent():
        client = Client()
        equal(client.good("disk.show", name=disk["dek"])["locked"], True)
        error = client.bad("disk.export-key", 4, "EACCES", files=[open_new("key2")], device=path("disk"))
        equal(error["reason"], "locked")
        equal(os.stat(path("key2")).st_size, 0)
        equal(client.good("disk.unlock", name=disk["dek"])["locked"], False)
        client.good("disk.export-key", files=[open_new("key2")], device=path("disk"))
        client.close()


def test_damaged_headers_say_so():
    with Agent():
        client = Client()
        disk = make_disk("disk3")
        client.bad("disk.export-key", 1, "ENOMSG", files=[open_new("key3")], device=disk)
        client.bad("disk.export-key", 1, "ENOENT", files=[open_new("key3")], device="/dev/nonexistent")
        made = client.good("disk.create", device=disk, vm="v")
        with open(disk, "r+b") as file:
            file.seek(4096 + 200)
            file.write(b"\0" * 64)
        # One copy is enough.
        client.good("disk.export-key", files=[open_new("key3")], device=disk)
        equal(client.good("disk.show", name=made["dek"])["device"], disk)
        client.close()


def test_events():
    with Agent():
        client = Client()
        seen = []
        client.good("event.list", seen=seen)
        equal([line["event"] for line in seen], events())
        ids = {}
        for line in seen:
            event = line["event"]
            ids.setdefault(event["id"], []).append(event["phase"])
            assert event["user"], event
        assert all(phases == ["intent", "outcome"] for phases in ids.values()), ids
        seen = []
        equal(client.good("event.list", seen=seen, limit=3), {"count": 3})
        equal([line["event"] for line in seen], events()[-3:])
        client.close()


def test_follow():
    with Agent():
        watcher, client = Client(), Client()
        watcher.send(b'{"v":1,"id":5,"op":"event.list","args":{"follow":true,"limit":1}}\n')
        equal(watcher.line()["event"], events()[-1])
        client.good("provider.default", name="p1")
        followed = [watcher.line()["event"] for _ in range(2)]
        equal([event["operation"] for event in followed], ["provider.default"] * 2)
        equal([event["phase"] for event in followed], ["intent", "outcome"])
        watcher.close()
        client.good("provider.default", name="p1")
        client.close()


def test_killed_while_creating():
    """At whatever moment the agent dies, the disk is there or it is not."""
    for number in range(8):
        disk = make_disk("disk4")
        agent = Agent()
        client = Client()
        request = {"v": 1, "id": 1, "op": "disk.create", "args": {"device": disk, "vm": "v"}}
        client.send(json.dumps(request).encode() + b"\n")
        for _ in range(number % 5 + 1):
            client.line()
        if number >= 5:
            time.sleep(0.01 * (number - 4))
        agent.kill()
        client.close()
        agent.__exit__()
        with Agent():
            client = Client()
            time.sleep(0.2)
            answer = client.call("disk.create", device=disk, vm="v")
            if not answer["ok"]:
                equal(answer["error"]["errno"], "EEXIST", answer["error"]["text"])
            client.good("disk.export-key", files=[open_new("key4")], device=disk)
            equal(len([d for d in client.good("disk.list")["disks"] if d["device"] == disk]), 1)
            client.close()
        assert not [e for e in open_intents() if e["operation"] == "disk.create"]


def open_intents():
    waiting = {}
    for event in events():
        if event["phase"] == "intent":
            waiting[event["id"]] = event
        else:
            waiting.pop(event["id"])
    return waiting.values()


def test_reload():
    with Agent(disks=b"web1 /dev/nonexistent\n") as agent:
        equal(len(Client().good("status")["boot"]["lines"]), 1)
        write("disks", b"web1 /dev/nonexistent\nweb2 bad\n")
        agent.told = []
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_told("RELOADING=1")
        agent.wait_told("READY=1")
        equal(len(Client().good("status")["boot"]["lines"]), 2)
        # A list that cannot be read leaves the agent running.
        write("disks", b"x y z\n" * 5000)
        agent.told = []
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_told("READY=1")
        equal(len(Client().good("status")["boot"]["lines"]), 2)


def test_waits_for_devices():
    began = time.monotonic()
    with Agent(conf=b"[Agent]\nBootWaitSec=5\n", disks=b"web1 /dev/nonexistent\n", ready=False) as agent:
        equal(first_client().good("status")["boot"]["waiting"], 1)
        agent.wait_told("READY=1")
        assert time.monotonic() - began >= 5
        equal(Client().good("status")["boot"]["failed"], 1)


def test_password_that_never_comes():
    """A client that keeps its pipe open holds one worker, not the agent."""
    with Agent(conf=b"[Agent]\nBootWaitSec=0\nWorkers=2\n"):
        read, end = os.pipe()
        waiting = Client()
        request = {"v": 1, "id": 1, "op": "provider.backup", "args": {"name": "p1"}}
        waiting.send(json.dumps(request).encode() + b"\n", [open_new("backup3"), read])
        time.sleep(0.2)
        Client().good("status")
        assert not select.select([waiting.socket], [], [], 0.1)[0]
        os.close(end)
        equal(waiting.line()["ok"], False)
        os.close(read)


def test_no_secret_is_left():
    """Neither the DEK nor the password stands in anything that the agent wrote but the export."""
    with open(path("key"), "rb") as file:
        dek = file.read()
    equal(len(dek), 64)
    for name in glob.glob(STATE + "/**", recursive=True) + [path("log"), path("disk")]:
        if os.path.isfile(name):
            with open(name, "rb") as file:
                data = file.read()
            assert dek not in data and dek.hex().encode() not in data, name
            assert b"secret" not in data, name


def test_hardened():
    with Agent() as agent:
        with open(f"/proc/{agent.process.pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        equal(status["NoNewPrivs"], "1")
        equal(status["Seccomp"], "2")
        with open(f"/proc/{agent.process.pid}/limits", encoding="utf-8") as file:
            core = [line.split() for line in file if line.startswith("Max core file size")]
        equal(core[0][4:6], ["0", "0"])


def test_state_that_cannot_be_read():
    with open(os.path.join(STATE, "disks.json"), "rb") as file:
        good = file.read()
    with open(os.path.join(STATE, "disks.json"), "wb") as file:
        file.write(good[:-5])
    with Agent(ready=False) as agent:
        equal(agent.process.wait(30), 1)
    with open(os.path.join(STATE, "disks.json"), "wb") as file:
        file.write(good)
    with Agent():
        Client().good("status")


if __name__ == "__main__":
    run([test_starts_without_the_module, test_wrong_settings, test_second_agent_is_refused, test_framing,
         test_slow_client_is_cut_off, test_too_many_clients, test_privilege, test_provider_and_disk, test_restore,
         test_deleted_disk_frees_its_provider, test_lock_outlives_the_agent, test_damaged_headers_say_so,
         test_events, test_follow, test_killed_while_creating, test_reload, test_waits_for_devices,
         test_password_that_never_comes, test_no_secret_is_left, test_hardened, test_state_that_cannot_be_read])
