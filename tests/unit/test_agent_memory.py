#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory of a running vmcryptd, searched for every secret that went through it."""

import base64
import glob
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import uuid

from tap import equal, run
from test_vmcryptd import STATE, Agent, Client, make_disk, open_new, path, pipe_with

WINDOW = 8
# A line of /proc/PID/maps whose memory can be written
WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw")


def regions(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return [(int(m[1], 16), int(m[2], 16)) for m in map(WRITABLE.match, maps) if m]


def memory(pid):
    """All of it that can be read: guard pages cannot."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for start, end in regions(pid):
            try:
                mem.seek(start)
                found.append(mem.read(end - start))
            except OSError:
                continue
    assert sum(map(len, found)) > 1 << 20, "hardly any memory could be read"
    return found


def places(pid, secret):
    """How many whole windows of a secret stand where."""
    windows = [secret[i:i + WINDOW] for i in range(0, len(secret) - WINDOW + 1, WINDOW)]
    return sum(region.count(window) for region in memory(pid) for window in windows)


def gone(agent, wanted):
    for name, secret in wanted.items():
        equal(places(agent.process.pid, secret), 0, f"places that hold parts of the {name}")


def read(file):
    with open(file, "rb") as f:
        return f.read()


def kek_of(device, provider, kdk):
    """The KEK of a disk's wrap, as the design derives it."""
    dump = subprocess.run(["cryptsetup", "token", "export", "--token-id", "0", device],
                          check=True, capture_output=True).stdout
    salt = uuid.UUID(json.loads(dump)["wraps"][0]["key"]).bytes
    key = hmac.digest(salt, kdk, hashlib.sha256)
    return hmac.digest(key, f"vmcrypt-native-kek-v1|{provider}".encode() + b"\x01", hashlib.sha256)


def provider_file():
    [file] = glob.glob(os.path.join(STATE, "providers", "*.json"))
    return json.loads(read(file))


def test_the_search_finds():
    """A process that is known to hold something; without this the rest proves nothing."""
    secret = secrets.token_bytes(32)
    with subprocess.Popen(["/usr/bin/python3", "-c", "import sys; d = sys.stdin.buffer.read(32); print('read', flush=True);"
                           "sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdin.write(secret)
        holder.stdin.flush()
        holder.stdout.readline()
        assert places(holder.pid, secret) >= 4, "not found where it is"
        holder.stdin.close()


def kdk_forms():
    stored = provider_file()["kdk"]
    return {"KDK": base64.b64decode(stored), "KDK in base64": stored.encode()}


def test_nothing_stays():
    word = secrets.token_hex(24).encode()
    with Agent() as agent:
        client = Client()
        client.good("provider.create", type="native", name="memory", allow_unsealed=True)
        gone(agent, kdk_forms())
        client.good("provider.backup", files=[open_new("memory.p12"), pipe_with(word + b"\n")], name="memory")
        gone(agent, kdk_forms() | {"password": word})
        disk = make_disk("memory-disk")
        client.good("disk.create", device=disk, vm="web1")
        # What the agent does know is found, so it is its memory that is searched
        assert places(agent.process.pid, b"memory-d") > 0, "the agent's own state is not found"
        gone(agent, kdk_forms())

        client.good("disk.export-key", files=[open_new("memory-key")], device=disk)
        wanted = kdk_forms() | {"DEK": read(path("memory-key")), "password": word}
        wanted["KEK"] = kek_of(disk, provider_file()["id"], wanted["KDK"])
        equal((len(wanted["DEK"]), len(wanted["KDK"])), (64, 32))
        gone(agent, wanted)

        for op, files, args in (
                ("disk.attach", [], {"device": disk, "name": "memory-no-module"}),
                ("provider.restore", [b"wrong\n"], {"allow_unsealed": True}),
                ("provider.restore", [word], {"allow_unsealed": True, "dry_run": True}),
                ("provider.restore", [word], {"allow_unsealed": True}),
                ("provider.restore", [word], {"require_tpm": True}),
                ("provider.check", [], {"name": "memory"}),
                ("disk.export-key", None, {"device": disk})):
            descriptors = [os.open("/dev/full", os.O_WRONLY)] if files is None else \
                [os.open(path("memory.p12"), os.O_RDONLY), pipe_with(files[0])] if files else []
            client.call(op, files=descriptors, **args)
            gone(agent, wanted)


run([test_the_search_finds, test_nothing_stays])
