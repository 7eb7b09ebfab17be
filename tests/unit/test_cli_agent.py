#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl and vmcryptd together, on files and a loop device, without the kernel module.

What every command prints as JSON is held to agent/cli/schema.json.
"""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import tempfile
import time
import uuid

import jsonschema

from tap import BUILD, TOP, ctl, equal, run

FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-test-")
PASSWORD = "correct horse battery staple"
DEK_LABEL = b"vmcrypt-dek-id-v1:aes-xts-plain64:"
SEEN = set()
LOOPS = []
AGENTS = []

with open(os.path.join(TOP, "agent/cli/schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)


def path(*parts):
    return os.path.join(FOLDER.name, *parts)


def write(name, text):
    with open(path(name), "w", encoding="utf-8") as file:
        file.write(text)
    return path(name)


class Agent:
    """A vmcryptd with a folder of its own."""

    def __init__(self, name, disks=""):
        os.makedirs(path(name), exist_ok=True)
        self.socket = path(name, "sock")
        self.log = path(name, "log")
        write(f"{name}/conf", "[Agent]\nBootWaitSec=1\n[TPM]\nTcti=device:/nonexistent\n")
        write(f"{name}/disks", disks)
        self.name = name
        AGENTS.append(self)
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "vmcryptd"), "--config", path(self.name, "conf"), "--state",
                 path(self.name, "state"), "--socket", self.socket, "--disks", path(self.name, "disks")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(300):
            if self.process.poll() is not None:
                break
            if os.path.exists(self.socket) and self.ctl("status").returncode == 0:
                return
            time.sleep(0.1)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise AssertionError(f"vmcryptd does not start: {log.read()[-2000:]}")

    def ctl(self, *words, **kwargs):
        return ctl("--socket", self.socket, *words, **kwargs)

    def json(self, *words, status=0, **kwargs):
        """The JSON of a command, held to the schema."""
        result = self.ctl(*words, "--json", **kwargs)
        equal(result.returncode, status, (words, result.stderr))
        reports = [line for line in result.stderr.splitlines() if not re.match("[0-9]+/[0-9]+ ", line)]
        equal(bool(reports), status != 0, (words, result.stderr))
        name = "error" if status else words[0] if words[0] == "status" else ".".join(words[:2])
        check(name, value := json.loads(result.stdout))
        return value

    def fails(self, *words, status=1, says, **kwargs):
        result = self.ctl(*words, **kwargs)
        equal(result.returncode, status, (words, result.stdout, result.stderr))
        assert re.search(says, result.stderr), (words, result.stderr)
        text = self.json(*words, status=status, **kwargs)["error"]["text"]
        assert re.search(says, text), (words, text)

    def works(self, *words, says="", **kwargs):
        result = self.ctl(*words, **kwargs)
        equal(result.returncode, 0, (words, result.stderr))
        assert re.search(says, result.stdout), (words, result.stdout)
        return result.stdout

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def check(name, value):
    SEEN.add(name)
    validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    problems = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]
    equal(problems, [], name)


def events(agent):
    result = agent.ctl("event", "list", "--json")
    equal((result.returncode, result.stderr), (0, ""))
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for line in lines:
        check("event.list", line)
    return lines


def image(name, size=64 << 20):
    with open(path(name), "wb") as file:
        file.truncate(size)
    return path(name)


def loop(file):
    """A loop device; gone with the test."""
    device = subprocess.run(["losetup", "--find", "--show", file], stdout=subprocess.PIPE, check=True, text=True).stdout
    LOOPS.append(device.strip())
    return LOOPS[-1]


one = None


def agent_starts():
    global one
    one = Agent("one", disks="broken\nlate /dev/disk/by-id/none nofail\n")
    status = one.json("status")
    equal(status["mode"], "incapable" if not status["module"]["loaded"] else "prepared")
    equal([line["state"] for line in status["boot"]["lines"]], ["failed", "waiting"])
    assert status["memory_locked"], status
    text = one.works("status", says="No key provider; make one")
    assert "broken" in text or "line 1" in text, text


def reading_an_empty_agent():
    equal(one.json("provider", "list"), {"providers": []})
    equal(one.json("disk", "list"), {"disks": []})
    equal(events(one), [])
    one.works("event", "list", says="No events.")
    one.fails("provider", "show", "none", says="provider create native")
    one.fails("provider", "check", "none", says="provider create native")
    one.fails("disk", "show", "none", says="none")


def without_a_manager():
    equal(one.json("host", "show"), {"manager": None})
    one.works("host", "show", says="joined no manager")
    one.fails("host", "leave", says="joined no manager")
    token = write("token", "vmj1." + "A" * 86 + "\n")
    one.fails("host", "join", "http://127.0.0.1", "--token-file", token, status=2, says="begin with https")
    one.fails("host", "join", "https://127.0.0.1:1", "--token-file", token, "--name", "a b", status=2, says="called")
    one.fails("host", "join", "https://127.0.0.1:1", "--token-file", token, status=3, says="127.0.0.1 port 1")
    write("token", "something else\n")
    one.fails("host", "join", "https://127.0.0.1:1", "--token-file", token, status=2, says="token")
    equal(one.json("status")["manager"], None)


def provider_without_a_tpm():
    one.fails("provider", "create", "native", "main", says="--allow-unsealed|allow_unsealed")
    one.fails("provider", "create", "native", "main", "--require-tpm", says="TPM")
    equal(one.json("provider", "list"), {"providers": []})
    made = one.json("provider", "create", "native", "main", "--allow-unsealed")
    equal((made["name"], made["default"], made["protection"], made["backed_up"]), ("main", True, "unsealed", False))
    one.fails("provider", "create", "native", "main", "--allow-unsealed", says="main")
    one.works("provider", "create", "native", "other", "--allow-unsealed", says="vmcryptctl provider backup other")
    equal(one.json("provider", "show", "main"), made)
    one.works("provider", "list", says=r"NAME +TYPE +PROTECTION")
    equal(one.json("status")["default_provider"], "main")
    assert any("unsealed" in warning or "seal" in warning for warning in one.json("status")["warnings"])


def no_disk_before_the_backup():
    one.fails("disk", "create", image("early"), "--vm", "v", status=3, says="back")
    with open(path("early"), "rb") as file:
        equal(file.read(1 << 20), bytes(1 << 20))
    check("provider.check", value := json.loads(one.ctl("provider", "check", "main", "--json").stdout))
    equal(value["ok"], False)
    equal(one.ctl("provider", "check", "main").returncode, 1)


def backup_and_restore():
    secret, wrong = write("secret", PASSWORD + "\n"), write("wrong", "not it")
    made = one.json("provider", "backup", "main", "--out", path("main.p12"), "--password-file", secret)
    equal(made["bytes"], os.stat(path("main.p12")).st_size)
    equal(stat.S_IMODE(os.stat(path("main.p12")).st_mode), 0o600)
    one.works("provider", "backup", "main", "--out", path("again.p12"), "--password-fd", "0", stdin=None,
              input=PASSWORD, says="Backed up the key provider main")
    one.fails("provider", "backup", "main", "--out", path("again.p12"), "--password-file", secret, says="exists already")
    one.fails("provider", "backup", "none", "--out", path("none.p12"), "--password-file", secret, says="none")
    assert not os.path.exists(path("none.p12"))

    found = one.json("provider", "restore", path("main.p12"), "--dry-run", "--allow-unsealed", "--password-file",
                     secret)
    equal((found["name"], found["state"], found["dry_run"]), ("main", "same", True))
    one.works("provider", "restore", path("again.p12"), "--dry-run", "--allow-unsealed", "--password-file", secret,
              says="on this host already")
    one.fails("provider", "restore", path("main.p12"), "--dry-run", "--allow-unsealed", "--password-file", wrong,
              says="(?i)password")
    one.fails("provider", "restore", secret, "--dry-run", "--allow-unsealed", "--password-file", secret,
              says="(?i)backup|PKCS")
    one.json("provider", "check", "main")
    one.works("provider", "check", "main", says="key +yes")
    equal(one.json("provider", "default", "main")["default"], True)


def disks():
    device = loop(image("disk"))
    disk = one.json("disk", "create", device, "--vm", "web1", "--disk", "root")
    equal((disk["vm"], disk["disk"], disk["key_bits"], disk["sector_size"]), ("web1", "root", 512, 4096))
    equal((disk["size"], disk["attached"], disk["counters"]), ((64 << 20) - (16 << 20), False, None))
    assert disk["keys"][0].startswith("main/"), disk
    one.fails("disk", "create", device, "--vm", "web1", says="force")
    result = one.ctl("disk", "create", image("small"), "--vm", "web2", "--key-bits", "256", "--sector-size", "512")
    equal(result.returncode, 0, result.stderr)
    assert re.match("1/([0-9]+) .*\n(.*\n)*\\1/\\1 ", result.stderr), result.stderr
    assert "vmcryptctl disk attach" in result.stdout
    one.works("disk", "create", image("bare"), "--vm", "web3", "--header", path("bare.hdr"))
    listed = one.json("disk", "list")["disks"]
    equal(sorted(item["vm"] for item in listed), ["web1", "web2", "web3"])
    one.works("disk", "list", says=r"NAME +VM +DISK +SIZE")
    equal(one.json("disk", "show", disk["dek"])["vm"], "web1")
    equal(one.json("disk", "show", device)["dek"], disk["dek"])
    one.works("disk", "show", device, says="Size +48 MiB")
    one.fails("provider", "delete", "main", says="web[123]")
    equal(one.json("provider", "delete", "other"), {"name": "other"})


def a_disk_that_is_gone():
    gone, other = image("gone"), image("overwritten")
    for device in gone, other:
        one.works("disk", "create", device, "--vm", "old")
    deks = {disk["device"]: disk["dek"] for disk in one.json("disk", "list")["disks"]}
    one.fails("disk", "forget", deks[gone], says="is there on")
    one.fails("disk", "forget", "none", says="none")
    os.unlink(gone)
    equal(one.json("disk", "forget", deks[gone]), {"dek": deks[gone]})
    with open(other, "r+b") as file:
        file.write(bytes(16 << 20))
    one.works("disk", "forget", other, says="Forgot the disk")
    assert "old" not in [disk["vm"] for disk in one.json("disk", "list")["disks"]]


def table():
    device = LOOPS[0]
    line = one.json("disk", "table", device)
    sectors = (48 << 20) // 512
    equal(line["table"], f"0 {sectors} vmcrypt aes-xts-plain64 {line['dek']} 0 {device} 32768 1 sector_size:4096")
    one.works("disk", "table", device, "--discard", "--key-loss", "error",
              says=r" 3 sector_size:4096 allow_discards key_loss:error\n$")
    one.fails("disk", "table", path("small"), says="losetup")


def exported_keys():
    for device, name, bits in [(LOOPS[0], "disk", 512), (path("small"), "small", 256), (path("bare"), "bare", 512)]:
        header = ["--header", path("bare.hdr")] if name == "bare" else []
        key = one.json("disk", "export-key", device, *header, "--out", path(name + ".dek"))
        equal((key["dek"], key["key_bits"], key["bytes"]),
              (one.json("disk", "show", device)["dek"], bits, bits // 8))
        with open(path(name + ".dek"), "rb") as file:
            dek = file.read()
        equal(len(dek), bits // 8)
        digest = bytearray(hashlib.sha256(DEK_LABEL + dek).digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0f | 0x80, digest[8] & 0x3f | 0x80
        equal(str(uuid.UUID(bytes=bytes(digest))), key["dek"])
        equal(stat.S_IMODE(os.stat(path(name + ".dek")).st_mode), 0o600)
    one.fails("disk", "export-key", image("empty"), "--out", path("empty.dek"), says="(?i)header")
    assert not os.path.exists(path("empty.dek"))


def without_the_module():
    if one.json("status")["module"]["loaded"]:
        raise AssertionError("run this on a machine without the kernel module")
    one.fails("disk", "attach", LOOPS[0], "web1", says="modprobe|module")
    one.fails("key", "list", says="modprobe|module")
    one.fails("disk", "detach", "web1", says="web1|module")


def locks_last():
    locked = one.json("disk", "lock", LOOPS[0])
    equal(locked["locked"], True)
    one.fails("disk", "export-key", LOOPS[0], "--out", path("locked.dek"), status=4, says="disk unlock")
    assert not os.path.exists(path("locked.dek"))
    equal(one.stop(), 0)
    one.start()
    equal(one.json("disk", "show", LOOPS[0])["locked"], True)
    equal(one.json("status")["disks"]["locked"], 1)
    one.works("disk", "list", says="by an administrator")
    equal(one.json("disk", "unlock", LOOPS[0])["locked"], False)
    one.works("disk", "export-key", LOOPS[0], "--out", path("unlocked.dek"))


def every_operation_is_recorded():
    lines = events(one)
    intents = {line["id"]: line for line in lines if line["phase"] == "intent"}
    outcomes = [line for line in lines if line["phase"] == "outcome"]
    equal(sorted(intents), sorted(line["id"] for line in outcomes))
    assert {line["operation"] for line in lines} >= {"provider.create", "provider.backup", "disk.create",
                                                     "disk.export-key", "disk.forget", "disk.lock", "disk.unlock"}
    for line in outcomes:
        assert line["result"], line
    equal(len(one.ctl("event", "list", "--json", "--limit", "3").stdout.splitlines()), 3)
    text = one.works("event", "list", "--limit", "2")
    equal(len(text.splitlines()), 2)


def follow():
    with subprocess.Popen([os.path.join(BUILD, "vmcryptctl"), "--socket", one.socket, "event", "list", "--follow",
                           "--limit", "1", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as client:
        client.stdout.readline()
        one.works("provider", "default", "main")
        lines = [json.loads(client.stdout.readline()) for _ in range(2)]
        equal([(line["operation"], line["phase"]) for line in lines],
              [("provider.default", "intent"), ("provider.default", "outcome")])
        one.process.kill()
        one.process.wait()
        equal(client.wait(30), 1)
        assert "closed the connection" in client.stderr.read()
    one.start()


def restored_on_another_host():
    two = Agent("two")
    found = two.json("provider", "restore", path("main.p12"), "--allow-unsealed", "--password-file", path("secret"))
    equal((found["state"], found["dry_run"]), ("new", False))
    equal(two.json("disk", "table", LOOPS[0]), one.json("disk", "table", LOOPS[0]))
    equal(two.stop(), 0)


def strangers_are_refused():
    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    os.chmod(FOLDER.name, 0o755)
    os.chmod(path("one"), 0o755)
    result = one.ctl("disk", "list", preexec_fn=become_nobody)
    equal(result.returncode, 4, result.stderr)
    assert "group vmcrypt" in result.stderr, result.stderr


def secrets_stay_secret():
    """Neither password nor key in a log, the events, the state, or an argument."""
    secrets = [PASSWORD.encode()]
    for name in ["disk", "small", "bare"]:
        with open(path(name + ".dek"), "rb") as file:
            dek = file.read()
        secrets += [dek, dek.hex().encode()]
    with open(f"/proc/{one.process.pid}/cmdline", "rb") as file:
        places = {"cmdline": file.read()}
    for folder, _, names in os.walk(path("one")):
        for name in names:
            if stat.S_ISREG(os.stat(os.path.join(folder, name)).st_mode):
                with open(os.path.join(folder, name), "rb") as file:
                    places[os.path.join(folder, name)] = file.read()
    assert len(places) > 4, places.keys()
    for place, content in places.items():
        assert not any(secret in content for secret in secrets), place
    equal(one.stop(), 0)


def every_definition_was_used():
    """Which need the kernel module or a manager is known; all others were held to a real output."""
    names = {name for name in SCHEMA["$defs"] if "." in name or name in ("status", "error")}
    equal(names - SEEN, {"disk.attach", "disk.detach", "host.join", "host.leave", "key.list"})


try:
    run([agent_starts, reading_an_empty_agent, without_a_manager, provider_without_a_tpm, no_disk_before_the_backup, backup_and_restore,
         disks, a_disk_that_is_gone, table, exported_keys, without_the_module, locks_last, every_operation_is_recorded, follow,
         restored_on_another_host, strangers_are_refused, secrets_stay_secret, every_definition_was_used])
finally:
    for agent in AGENTS:
        if agent.process.poll() is None:
            agent.process.kill()
    for loop_device in LOOPS:
        subprocess.run(["losetup", "--detach", loop_device], check=False)
