#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl and vmcrypt-manager, as an administrator uses them."""

import json
import os
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
import urllib.request

from tap import BUILD, ctl, equal, run

FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-unit-")
STATE = os.path.join(FOLDER.name, "state")
VM = "11111111-2222-4333-8444-555555555555"


def path(name):
    return os.path.join(FOLDER.name, name)


def manager(*words):
    return [os.path.join(BUILD, "vmcrypt-manager"), *words]


class Server:
    """The manager itself, on a port of its own."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            manager("serve", "--dir", STATE, "--listen", "127.0.0.1", "--port", str(self.port)),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(f"the manager ended with status {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the manager does not listen")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            equal(self.process.wait(60), 0, "the manager's end")


SERVER = Server()


def as_user(user, *words):
    """A command in the session of a user."""
    return ctl("--manager", f"https://localhost:{SERVER.port}", "--ca", path("ca.pem"),
               "--token-file", path(f"token-{user}"), *words)


def good(user, *words):
    result = as_user(user, "--json", *words)
    equal((result.returncode, result.stderr), (0, ""), words)
    return json.loads(result.stdout)


def password(name, text):
    with open(path(name), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return path(name)


def a_new_manager_has_one_administrator():
    result = subprocess.run(manager("init", "--dir", STATE, "--name", "localhost", "--admin", "anna",
                                    "--password-file", password("anna", "anna's password"), "--key-file"),
                            check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    SERVER.start()
    # The CA comes over a connection that is not trusted yet; the fingerprint makes it so
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"https://127.0.0.1:{SERVER.port}/api/v1/about", timeout=60, context=blind) as answer:
        about = json.load(answer)
    assert about["authority"]["fingerprint"] in result.stdout, (about, result.stdout)
    with open(path("ca.pem"), "w", encoding="ascii") as file:
        file.write(about["authority"]["certificate"])
    equal(good("nobody", "about")["version"], about["version"])
    good("anna", "session", "create", "anna", "--password-file", path("anna"))
    equal([user["name"] for user in good("anna", "user", "list")["users"]], ["anna"])


def a_wrong_password_is_refused():
    result = as_user("eve", "session", "create", "anna", "--password-file", password("wrong", "no such password"))
    equal(result.returncode, 4, result.stderr)
    assert not os.path.exists(path("token-eve"))


def no_password_stays_in_the_manager_s_memory():
    needles = [b"anna's password", b"no such password"]
    searched = 0
    with open(f"/proc/{SERVER.process.pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{SERVER.process.pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if "w" not in line.split()[1]:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:  # a guard page
                continue
            searched += len(data)
            for needle in needles:
                assert needle not in data, line
    assert searched > 1 << 20, searched


def objects_are_found_by_name():
    good("anna", "cluster", "create", "c1")
    result = as_user("anna", "cluster", "create", "c1")
    equal(result.returncode, 1, "a name is given once")
    vm = good("anna", "vm", "register", "web", "--id", VM, "--cluster", "c1")
    equal(vm["cluster"], good("anna", "cluster", "list")["clusters"][0]["id"])
    equal(as_user("anna", "cluster", "delete", "c1").returncode, 1, "a cluster with a VM stays")
    result = as_user("anna", "vm", "unregister", "other")
    equal(result.returncode, 1)
    assert '"other"' in result.stderr, result.stderr


def a_join_token_is_for_its_file_alone():
    file = path("token")
    result = as_user("anna", "host", "token", "--out", file, "--cluster", "c1", "--hours", "1")
    equal(result.returncode, 0, result.stderr)
    with open(file, encoding="ascii") as token:
        text = token.read()
    assert text.startswith("vmj1.") and len(text) == 91, "no token"
    equal(os.stat(file).st_mode & 0o777, 0o600, "mode")
    assert text not in result.stdout + result.stderr, result.stdout
    equal(as_user("anna", "host", "token", "--out", file).returncode, 1, "never written over")
    with open(file, encoding="ascii") as token:
        equal(token.read(), text, "what is there stays")
    os.unlink(file)
    equal(as_user("anna", "host", "token", "--out", file, "--cluster", "none").returncode, 1)
    assert not os.path.exists(file), "a file without a token"
    assert list(good("anna", "host", "token", "--out", file)) == ["expires"], "JSON"


def who_has_no_privilege_gets_status_4_and_an_event():
    good("anna", "user", "create", "bob", "--password-file", password("bob", "bob's password"))
    good("bob", "session", "create", "bob", "--password-file", path("bob"))
    equal(good("bob", "cluster", "list")["clusters"], [])
    good("anna", "permission", "create", "bob", "ReadOnly", "global")
    equal([cluster["name"] for cluster in good("bob", "cluster", "list")["clusters"]], ["c1"])
    for words in (("cluster", "create", "c2"), ("vm", "unregister", "web"), ("user", "list")):
        result = as_user("bob", *words)
        equal(result.returncode, 4, words)
        assert "privilege" in result.stderr, result.stderr
    refused = [event for event in good("anna", "event", "list", "--user", "bob")["events"]
               if event["result"] == "refused"]
    equal(len(refused), 3, refused)


def a_session_ends_when_it_is_told_and_with_the_password():
    good("anna", "user", "password", "bob", "--password-file", password("bob2", "bob's other password"))
    equal(as_user("bob", "session", "show").returncode, 4)
    good("bob", "session", "create", "bob", "--password-file", path("bob2"))
    good("bob", "session", "end")
    equal(as_user("bob", "session", "show").returncode, 4)


def every_effect_has_an_intent_before_it():
    events = good("anna", "event", "list")["events"]
    for event in events:
        if event["phase"] == "outcome":
            assert any(e["phase"] == "intent" and e["id"] == event["id"] and e["seq"] < event["seq"]
                       for e in events), event
    outcomes = [event["operation"] for event in events if event["phase"] == "outcome"]
    for operation in ("cluster.create", "vm.register", "user.create", "permission.set"):
        assert operation in outcomes, outcomes


def an_altered_event_shows():
    equal(as_user("anna", "event", "verify").returncode, 0)
    SERVER.stop()
    with sqlite3.connect(os.path.join(STATE, "manager.db")) as database:
        changed = database.execute("UPDATE event SET row = replace(row, '\"bob\"', '\"rob\"')").rowcount
        assert changed > 0
    database.close()
    SERVER.start()
    good("anna", "session", "create", "anna", "--password-file", path("anna"))
    result = as_user("anna", "event", "verify")
    equal(result.returncode, 1, result.stderr)
    SERVER.stop()


try:
    run([a_new_manager_has_one_administrator, a_wrong_password_is_refused,
         no_password_stays_in_the_manager_s_memory, objects_are_found_by_name, a_join_token_is_for_its_file_alone,
         who_has_no_privilege_gets_status_4_and_an_event, a_session_ends_when_it_is_told_and_with_the_password,
         every_effect_has_an_intent_before_it, an_altered_event_shows])
finally:
    if SERVER.process and SERVER.process.poll() is None:
        SERVER.process.kill()
