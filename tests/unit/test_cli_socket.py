#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl against whatever may sit at the other end of its socket."""

import array
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading

from tap import CTL, ctl, equal, run

FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-test-")
PATH = os.path.join(FOLDER.name, "sock")
DONE = b'{"id":1,"ok":true,"result":{"providers":[]}}\n'


def refused(status):
    error = {"status": status, "errno": "EX", "reason": None, "text": f"words {status}"}
    return json.dumps({"id": 1, "ok": False, "error": error}).encode() + b"\n"


class Peer:
    """Answers one connection: an iterable of bytes, or a function of the socket."""

    def __init__(self, answer, path=PATH):
        self.request, self.fds, self.answer, self.path = b"", [], answer, path

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(60)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(60)
            while not self.request.endswith(b"\n"):
                data, control, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4 * 8))
                for _, kind, payload in control:
                    if kind == socket.SCM_RIGHTS:
                        self.fds += array.array("i", payload)
                if not data:
                    return
                self.request += data
            try:
                if callable(self.answer):
                    self.answer(self, connection)
                else:
                    for part in self.answer:
                        connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass

    def __exit__(self, *_):
        self.thread.join()
        for fd in self.fds:
            os.close(fd)
        self.listener.close()
        os.unlink(self.path)


def ask(answer, *words, **kwargs):
    with Peer(answer) as peer:
        result = ctl("--socket", PATH, *(words or ("provider", "list")), **kwargs)
    return result, peer


def nobody_there():
    for words in [("provider", "list"), ("disk", "lock", "x")]:
        result = ctl("--socket", PATH, *words)
        equal(result.returncode, 1)
        assert "vmcryptd is not running" in result.stderr and "systemctl start vmcryptd" in result.stderr
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(PATH)
    listener.close()
    result = ctl("--socket", PATH, "status")
    os.unlink(PATH)
    equal(result.returncode, 1)
    assert "vmcryptd is not running" in result.stderr
    equal(ctl("--socket", "/" + 120 * "x", "status").returncode, 2)


def request_is_the_protocol_s():
    result, peer = ask([DONE], "provider", "list", "--json")
    equal(result.returncode, 0)
    equal(json.loads(result.stdout), {"providers": []})
    equal(json.loads(peer.request), {"v": 1, "id": 1, "op": "provider.list", "args": {}})
    equal(peer.fds, [])


def status_passes_through():
    for status in range(1, 5):
        result, _ = ask([refused(status)])
        equal((result.returncode, result.stdout), (status, ""))
        equal(result.stderr, f"vmcryptctl: words {status}\n")
        result, _ = ask([refused(status)], "provider", "list", "--json")
        equal(result.returncode, status)
        equal(json.loads(result.stdout)["error"]["text"], f"words {status}")


def answer_in_pieces():
    result, _ = ask([DONE[i:i + 1] for i in range(len(DONE))])
    equal((result.returncode, result.stdout), (0, "No key provider.\n"))
    progress = b'{"id":1,"progress":{"step":1,"steps":2,"phase":"p","text":"half"}}\n'
    result, _ = ask([progress + progress + DONE])
    equal((result.returncode, result.stderr), (0, "1/2 half\n1/2 half\n"))


def long_answer():
    names = [{"name": f"provider {i}"} for i in range(20000)]
    line = json.dumps({"id": 1, "ok": True, "result": {"providers": names}}).encode() + b"\n"
    assert len(line) > 65536
    result, _ = ask([line])
    equal(result.returncode, 0)
    equal(len(result.stdout.splitlines()), 20001)


def nonsense():
    event = b'{"id":1,"event":{}}\n'
    for answer in [[b"\n"], [b"hello\n"], [b"\0\n"], [b"[" * 100000 + b"\n"], [b'{"id":2,"ok":true,"result":{}}\n'],
                   [b'{"id":1,"ok":true}\n'], [event + DONE], [refused(0)], [refused(9)], [b"\xff\xfe\n"],
                   [b'{"id":1,"ok":true,"result":{},"result":{}}\n']]:
        result, _ = ask(answer)
        equal((result.returncode, result.stdout), (1, ""), answer[0][:40])
        assert result.stderr.startswith("vmcryptctl: The agent"), result.stderr


def endless_line():
    def answer(_, connection):
        while True:
            connection.sendall(65536 * b"x")

    result, _ = ask(answer)
    equal(result.returncode, 1)
    assert "4194304 bytes" in result.stderr, result.stderr


def connection_ends():
    for answer in [[], [DONE[:-1]], [b'{"id":1,"progress":{"step":1,"steps":2,"text":"t"}}\n']]:
        result, _ = ask(answer)
        equal(result.returncode, 1)
        assert "not known whether" in result.stderr, result.stderr


def terminal_is_not_commanded():
    provider = {"name": "a\x1b[31m\u202eb\nc"}
    line = json.dumps({"id": 1, "ok": True, "result": {"providers": [provider]}}).encode() + b"\n"
    result, _ = ask([line])
    assert "a\\u001b[31m\\u202eb\\u000ac" in result.stdout, result.stdout
    result, _ = ask([refused(1).replace(b"words", b"wo\\u001brds")])
    assert "\x1b" not in result.stderr


def descriptor_from_the_agent_is_dropped():
    def answer(_, connection):
        with open("/dev/null", "rb") as null:
            connection.sendmsg([DONE], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 3))])

    result, _ = ask(answer)
    equal(result.returncode, 0)


def stranger_is_refused():
    """A listener that is neither root's nor the caller's gets nothing."""
    if os.geteuid() != 0:
        raise AssertionError("run this as root")
    os.chmod(FOLDER.name, 0o777)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(PATH)
        listener.listen(1)
        os.write(go, b"x")
        connection, _ = listener.accept()
        os._exit(0 if connection.recv(1) == b"" else 1)
    os.read(ready, 1)
    result = ctl("--socket", PATH, "provider", "list")
    _, status = os.waitpid(child, 0)
    os.chmod(FOLDER.name, 0o700)
    os.unlink(PATH)
    equal((result.returncode, status), (4, 0))
    assert "not to root" in result.stderr, result.stderr


def backup(answer, *words, out, **kwargs):
    return ask(answer, "provider", "backup", "p", "--out", out, *words, **kwargs)


def password_crosses_in_a_pipe():
    passwords = {}

    def answer(peer, connection):
        passwords["fds"] = [os.readlink(f"/proc/self/fd/{fd}") for fd in peer.fds]
        passwords["text"] = os.read(peer.fds[1], 4096)
        os.write(peer.fds[0], b"backup")
        connection.sendall(b'{"id":1,"ok":true,"result":{"name":"p","uuid":"u","bytes":6,"backup_time":"t"}}\n')

    out, secret = (os.path.join(FOLDER.name, name) for name in ("out", "secret"))
    with open(secret, "w", encoding="ascii") as file:
        file.write("correct horse\n")
    result, peer = backup(answer, "--password-file", secret, out=out)
    equal((result.returncode, result.stderr), (0, ""))
    equal(passwords["text"], b"correct horse")
    equal(passwords["fds"][0], out)
    assert passwords["fds"][1].startswith("pipe:"), passwords
    equal(json.loads(peer.request)["args"], {"name": "p"})
    assert b"horse" not in peer.request
    equal(os.stat(out).st_mode & 0o777, 0o600)

    result = ctl("--socket", PATH, "provider", "backup", "p", "--out", out, "--password-file", secret)
    equal(result.returncode, 1, "nobody listens")
    os.unlink(out)

    reader, writer = os.pipe()
    os.write(writer, b"from a descriptor")
    os.close(writer)
    result, _ = backup(answer, "--password-fd", reader, out=out, pass_fds=[reader])
    equal((result.returncode, passwords["text"]), (0, b"from a descriptor"))
    os.unlink(out)


def output_is_never_written_over():
    out = os.path.join(FOLDER.name, "out")
    with open(out, "w", encoding="ascii") as file:
        file.write("old")
    result, peer = backup([DONE], "--password-fd", "0", out=out, stdin=None, input="pw")
    equal((result.returncode, peer.request), (1, b""))
    assert "exists already" in result.stderr
    with open(out, encoding="ascii") as file:
        equal(file.read(), "old")
    os.unlink(out)
    os.symlink("/dev/null", out)
    result, _ = backup([DONE], "--password-fd", "0", out=out, stdin=None, input="pw")
    equal(result.returncode, 1)
    os.unlink(out)


def output_of_a_failure():
    """Refused: it goes. Unknown: it stays, for it may be the backup that counts."""
    out = os.path.join(FOLDER.name, "out")
    result, _ = backup([refused(3)], "--password-fd", "0", out=out, stdin=None, input="pw")
    equal((result.returncode, os.path.exists(out)), (3, False))
    result, _ = backup([], "--password-fd", "0", out=out, stdin=None, input="pw")
    equal((result.returncode, os.path.exists(out)), (1, True))
    assert out in result.stderr
    os.unlink(out)


def bad_passwords():
    out = os.path.join(FOLDER.name, "out")
    for secret in ["", "\n", "a\0b", 513 * "x"]:
        result, peer = backup([DONE], "--password-fd", "0", out=out, stdin=None, input=secret)
        assert result.returncode in (1, 2), secret
        equal((peer.request, os.path.exists(out)), (b"", False), secret[:8])
    result, _ = backup([DONE], "--password-file", "/nonexistent", out=out)
    equal(result.returncode, 1)
    with Peer([DONE]):
        result = ctl("--socket", PATH, "provider", "backup", "p", "--out", out, start_new_session=True)
    equal(result.returncode, 2)
    assert "no terminal" in result.stderr, result.stderr


def prompt(typed, answer):
    """Runs a backup on a terminal of its own; what was typed, and all that the terminal showed."""
    out = os.path.join(FOLDER.name, "out")
    with Peer(answer) as peer:
        child, terminal = os.forkpty()
        if child == 0:
            os.execv(CTL, [CTL, "--socket", PATH, "provider", "backup", "p", "--out", out])
        shown = b""
        for text in typed:
            while not shown.endswith(b": "):
                shown += os.read(terminal, 4096)
            shown += b"|"
            os.write(terminal, text)
        try:
            while data := os.read(terminal, 4096):
                shown += data
        except OSError:  # the other end is closed
            pass
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    if os.path.exists(out):
        os.unlink(out)
    return status, shown, peer


def prompt_without_echo():
    passwords = []

    def answer(peer, connection):
        passwords.append(os.read(peer.fds[1], 4096))
        connection.sendall(refused(1))

    status, shown, _ = prompt([b"tr0ub4dor\n", b"tr0ub4dor\n"], answer)
    equal((os.waitstatus_to_exitcode(status), passwords), (1, [b"tr0ub4dor"]))
    assert b"Password: " in shown and b"tr0ub4dor" not in shown, shown

    status, shown, peer = prompt([b"one\n", b"two\n"], [DONE])
    equal((os.waitstatus_to_exitcode(status), peer.request), (2, b""))
    assert b"differ" in shown, shown

    status, _, peer = prompt([b"\x03"], [DONE])
    equal((os.waitstatus_to_exitcode(status), peer.request), (-signal.SIGINT, b""))


def follow():
    events = [b'{"id":1,"event":{"time":"t%d"}}\n' % i for i in range(3)]

    def answer(_, connection):
        for event in events:
            connection.sendall(event)
        connection.recv(1)  # until the client is gone

    with Peer(answer) as peer:
        with subprocess.Popen([CTL, "--socket", PATH, "event", "list", "--follow", "--json"],
                              stdout=subprocess.PIPE, text=True) as client:
            lines = [client.stdout.readline() for _ in events]
            client.terminate()
        equal([json.loads(line) for line in lines], [{"time": f"t{i}"} for i in range(3)])
    equal(json.loads(peer.request)["args"], {"follow": True})


def full_output():
    with open("/dev/full", "w", encoding="ascii") as full:
        with Peer([DONE]):
            result = subprocess.run([CTL, "--socket", PATH, "provider", "list"], stdout=full, stderr=subprocess.PIPE,
                                    check=False, timeout=60)
    equal(result.returncode, 1)


run([nobody_there, request_is_the_protocol_s, status_passes_through, answer_in_pieces, long_answer, nonsense,
     endless_line, connection_ends, terminal_is_not_commanded, descriptor_from_the_agent_is_dropped,
     stranger_is_refused, password_crosses_in_a_pipe, output_is_never_written_over, output_of_a_failure,
     bad_passwords, prompt_without_echo, follow, full_output])
