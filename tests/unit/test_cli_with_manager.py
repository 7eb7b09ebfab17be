#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl and vmcrypt-manager, as an administrator uses them."""

import contextlib
import csv
import http.client
import json
import os
import queue
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

import pykmip
from tap import BUILD, CTL, ctl, equal, run

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


def a_token_that_is_not_used_can_be_revoked():
    tokens = good("anna", "host", "tokens")["tokens"]
    equal(len(tokens), 2, tokens)
    for token in tokens:
        good("anna", "host", "revoke-token", token["id"])
    equal(good("anna", "host", "tokens")["tokens"], [])


def objects_are_shown_renamed_and_moved():
    cluster = good("anna", "cluster", "create", "c9")
    good("anna", "cluster", "rename", "c9", "c3")
    good("anna", "cluster", "crypto-mode", "c3", "forceEnable")
    equal(good("anna", "cluster", "show", "c3"), {**cluster, "name": "c3", "crypto_mode": "forceEnable"})
    equal(good("anna", "vm", "move", "web", "--cluster", "c3")["cluster"], cluster["id"])
    good("anna", "vm", "move", "web", "--cluster", "c1")
    assert good("anna", "vm", "show", "web")["cluster"] != cluster["id"]
    good("anna", "cluster", "delete", "c3")
    good("anna", "role", "create", "r", "Cryptographer.Access")
    good("anna", "role", "change", "r", "Cryptographer.Clone")
    equal(good("anna", "role", "show", "r")["privileges"], ["Cryptographer.Clone"])
    good("anna", "role", "delete", "r")
    equal(good("anna", "user", "show", "anna")["has_password"], True)
    assert "Cryptographer.Access" in good("anna", "session", "privileges", "global")["privileges"]
    equal(good("anna", "status")["store"]["healthy"], True)


def a_native_provider_comes_back_from_its_backup():
    file, secret = path("backup"), password("backup-password", "of the backup")
    provider = good("anna", "provider", "create", "n1", "--type", "native")
    equal(good("anna", "provider", "defaults")["defaults"][0]["provider"], provider["id"])
    equal(good("anna", "provider", "backup", "n1", "--out", file, "--password-file", secret),
          {"provider": provider["id"]})
    equal(os.stat(file).st_mode & 0o777, 0o600, "mode")
    with open(file, "rb") as backup:
        equal(backup.read(1), b"\x30", "PKCS#12 is a SEQUENCE")
    assert good("anna", "provider", "show", "n1")["backed_up"]
    result = as_user("anna", "provider", "restore", file, "--dry-run", "--password-file", path("wrong"))
    assert result.returncode not in (0, 2), result
    equal(good("anna", "provider", "restore", file, "--dry-run", "--password-file", secret)["state"], "same")
    good("anna", "provider", "reset-default")
    good("anna", "provider", "delete", "n1")
    equal(good("anna", "provider", "list")["providers"], [])
    equal(good("anna", "provider", "restore", file, "--password-file", secret)["id"], provider["id"])


def a_provider_is_the_default_where_it_is_chosen():
    good("anna", "provider", "default", "n1", "--cluster", "c1")
    cluster = good("anna", "cluster", "show", "c1")["id"]
    assert f"cluster:{cluster}" in [d["scope"] for d in good("anna", "provider", "defaults")["defaults"]]
    good("anna", "provider", "reset-default", "--cluster", "c1")
    assert f"cluster:{cluster}" not in [d["scope"] for d in good("anna", "provider", "defaults")["defaults"]]
    equal(as_user("anna", "provider", "status", "n1").returncode, 0)
    equal(good("anna", "key", "list", "--provider", "n1")["keys"], [])


def the_certificate_for_key_servers_is_requested_and_uploaded():
    good("anna", "provider", "create", "s1", "--type", "standard")
    request = as_user("anna", "certificate", "set", "s1", "request")
    equal(request.returncode, 0, request.stderr)
    assert "-----BEGIN CERTIFICATE REQUEST-----\n" in request.stdout, request.stdout
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", path("client.key"), "-out", path("client.pem"), "-subj", "/CN=m", "-days", "9"],
                   check=True, stderr=subprocess.DEVNULL, timeout=60)
    good("anna", "certificate", "set", "s1", "upload", "--file", path("client.pem"), "--key-file", path("client.key"))
    with open(path("client.pem"), encoding="ascii") as file:
        equal(good("anna", "certificate", "show", "s1")["certificate"]["certificate"], file.read())
    result = as_user("anna", "certificate", "set", "s1", "upload", "--file", path("missing.pem"))
    assert result.returncode == 1 and "missing.pem" in result.stderr, result


def a_key_server_s_password_is_a_user_s():
    result = as_user("anna", "server", "add", "s1", "k", "127.0.0.1", "--password-file", path("anna"))
    equal(result.returncode, 2, result.stderr)
    assert "--user" in result.stderr, result.stderr
    # Nobody listens there
    result = as_user("anna", "server", "add", "s1", "k", "127.0.0.1", "--port", "1", "--pin", "0" * 64)
    assert result.returncode not in (0, 2), result
    equal(good("anna", "server", "list", "s1")["servers"], [])


def a_key_server_is_looked_at_taken_in_and_removed():
    with tempfile.TemporaryDirectory(prefix="vmcrypt-unit-", dir=pykmip.MEMORY) as folder, \
            contextlib.ExitStack() as stack:
        pykmip.certificates(folder)
        kmip = pykmip.Server(folder)
        stack.callback(kmip.stop)
        there = ("--port", kmip.port, "--legacy")
        good("anna", "certificate", "set", "s1", "upload", "--file", f"{folder}/client.pem",
             "--key-file", f"{folder}/client.key")
        pin = good("anna", "server", "look", "127.0.0.1", *there)["fingerprint"]
        result = as_user("anna", "server", "add", "s1", "k", "127.0.0.1", *there, "--pin", "0" * 64)
        assert result.returncode not in (0, 2), result
        good("anna", "server", "add", "s1", "k", "127.0.0.1", *there, "--server-ca", f"{folder}/ca.pem")
        server, = good("anna", "server", "list", "s1")["servers"]
        with open(f"{folder}/ca.pem", encoding="ascii") as file:
            equal((server["name"], server["ca"], server["pin"]), ("k", file.read(), None))
        good("anna", "server", "change", "s1", "k", "--pin", pin)
        server, = good("anna", "server", "list", "s1")["servers"]
        equal((server["pin"], server["ca"]), (pin, None), "the CA is taken back")
        good("anna", "server", "change", "s1", "k", "--server-ca", f"{folder}/ca.pem")
        equal(good("anna", "server", "list", "s1")["servers"][0]["pin"], None, "the fingerprint is taken back")
        equal(as_user("anna", "server", "change", "s1", "k").returncode, 2, "nothing to change")
        other = pykmip.Server(folder)
        stack.callback(other.stop)
        result = as_user("anna", "server", "change", "s1", "k", "--port", pykmip.free_port())
        assert result.returncode not in (0, 2), result
        good("anna", "server", "change", "s1", "k", "--port", other.port, "--kmip-version", "1.3",
             "--user", "vmcrypt", "--password-file", path("anna"))
        server, = good("anna", "server", "list", "s1")["servers"]
        equal((server["port"], server["version"], server["user"]), (other.port, "1.3", "vmcrypt"), "changed")
        shown = as_user("anna", "server", "list", "s1").stdout.splitlines()
        equal([line.split()[-3:-1] for line in shown], [["KMIP", "USER"], ["1.3", "vmcrypt"]], shown)
        good("anna", "server", "change", "s1", "k", "--kmip-version", "auto", "--no-user")
        server, = good("anna", "server", "list", "s1")["servers"]
        equal((server["version"], server["user"]), ("1.4", None), "agreed on anew")
        status = as_user("anna", "provider", "status", "s1")
        equal(status.returncode, 0, status.stderr)
        assert any(line.split()[:2] == ["k", "yes"] for line in status.stdout.splitlines()), status.stdout
        good("anna", "server", "remove", "s1", "k")
        equal(good("anna", "server", "list", "s1")["servers"], [])
        good("anna", "provider", "delete", "s1")


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
    new = password("bob3", "bob's own password")
    result = as_user("bob", "session", "password", "--password-file", path("bob"), "--new-password-file", new)
    equal(result.returncode, 4, result.stderr)
    good("bob", "session", "password", "--password-file", path("bob2"), "--new-password-file", new)
    equal(as_user("bob", "session", "show").returncode, 4)
    good("bob", "session", "create", "bob", "--password-file", new)
    good("bob", "session", "end")
    equal(as_user("bob", "session", "show").returncode, 4)


def a_disabled_user_cannot_log_in():
    good("anna", "user", "change", "bob", "--disable", "--fingerprint", "ab" * 32)
    equal(good("anna", "user", "show", "bob")["disabled"], True)
    equal(as_user("bob", "session", "create", "bob", "--password-file", path("bob3")).returncode, 4)
    good("anna", "user", "change", "bob", "--enable", "--no-certificate")
    equal(good("anna", "user", "show", "bob")["certificate"], None)


def events_are_found_by_what_they_are_about():
    every = good("anna", "event", "list", "--limit", "1000")["events"]
    found = good("anna", "event", "list", "--operation", "cluster.create", "--limit", "1000")["events"]
    equal(found, [event for event in every if event["operation"] == "cluster.create"])
    assert found
    later = good("anna", "event", "list", "--from", found[-1]["time"], "--limit", "1000")["events"]
    assert later and all(event["time"] >= found[-1]["time"] for event in later), later
    equal([p["user"] for p in good("anna", "permission", "list", "--user", "bob")["permissions"]], ["bob"])


def events_begin_where_it_is_said():
    """--since 0 is the first event, and a format of its own is for spreadsheets."""
    events = good("anna", "event", "list", "--since", "0", "--limit", "5")["events"]
    equal([event["seq"] for event in events], [1, 2, 3, 4, 5])
    equal(len(good("anna", "event", "list", "--since", 0, "--limit", 0)["events"]) > 100, True, "more than the default")
    equal(as_user("anna", "event", "list", "--since", "-1").returncode, 2)
    equal(as_user("anna", "host", "token", "--out", path("none"), "--hours", "0").returncode, 2, "0 hours")
    vm = good("anna", "event", "list", "--object", f"vm:{VM}")["events"]
    assert vm and {event["object"] for event in vm} == {f"vm:{VM}"}, vm
    joined = good("anna", "event", "list", "--type", "BadUsernameSessionEvent")["events"]
    assert joined and {event["type"] for event in joined} == {"BadUsernameSessionEvent"}, joined
    result = as_user("anna", "event", "list", "--since", "0", "--limit", "5", "--format", "csv")
    equal((result.returncode, result.stderr), (0, ""))
    rows = list(csv.DictReader(result.stdout.splitlines()))
    equal([row["seq"] for row in rows], ["1", "2", "3", "4", "5"])
    equal([row["hash"] for row in rows], [event["hash"] for event in events])
    equal(as_user("anna", "event", "list", "--format", "xml").returncode, 2)


def a_thousand_events_more():
    """An intent and an outcome each time."""
    with open(path("token-anna"), encoding="ascii") as file:
        headers = {"Authorization": "Bearer " + file.read().strip(), "Content-Type": "application/json"}
    connection = http.client.HTTPSConnection("localhost", SERVER.port, timeout=60,
                                             context=ssl.create_default_context(cafile=path("ca.pem")))
    for _ in range(550):
        connection.request("PATCH", "/api/v1/users/bob", '{"disabled": false}', headers)
        answer = connection.getresponse()
        equal((answer.status, bool(answer.read())), (200, True))
    connection.close()


def events_come_in_as_many_answers_as_it_takes():
    a_thousand_events_more()
    every = good("anna", "event", "list", "--limit", "0")["events"]
    equal([event["seq"] for event in every], list(range(1, len(every) + 1)))
    assert len(every) > 1200, len(every)
    equal(good("anna", "event", "list", "--limit", "1050")["events"], every[-1050:])
    equal(good("anna", "event", "list")["events"], every[-100:])
    equal(good("anna", "event", "list", "--since", "3", "--limit", "1050")["events"], every[3:1053])
    found = [event for event in every if event["operation"] == "user.change"]
    equal((good("anna", "event", "list", "--operation", "user.change", "--limit", "0")["events"], len(found) > 1000),
          (found, True))
    # A table has its labels once
    table = as_user("anna", "event", "list", "--limit", "0").stdout.splitlines()
    equal((len(table), sum(line.startswith("SEQ ") for line in table)), (len(every) + 1, 1))
    created = next(event for event in every if event["operation"] == "cluster.create")
    found = good("anna", "event", "list", "--id", created["id"])["events"]
    equal([event["phase"] for event in found], ["intent", "outcome"])


def events_are_exported_to_a_file():
    every = good("anna", "event", "list", "--limit", "0")["events"]
    equal(good("anna", "event", "export", "--out", path("events.json")), {"rows": len(every)})
    with open(path("events.json"), encoding="utf-8") as file:
        equal(json.load(file), {"events": every})
    equal(os.stat(path("events.json")).st_mode & 0o777, 0o600, "mode")
    result = as_user("anna", "event", "export", "--format", "csv", "--out", path("events.csv"), "--to",
                     "2020-01-01T00:00:00Z")
    equal((result.returncode, result.stdout), (0, "0 events.\n"), result.stderr)
    os.unlink(path("events.csv"))
    equal(as_user("anna", "event", "export", "--format", "csv", "--out", path("events.csv")).returncode, 0)
    with open(path("events.csv"), encoding="utf-8", newline="") as file:
        text = file.read()
    equal(text.count("\r\n"), len(every) + 1)
    equal([row["hash"] for row in csv.DictReader(text.splitlines())], [event["hash"] for event in every])
    for refused in (("event", "export", "--out", path("events.csv")),
                    ("event", "export", "--out", path("none.csv"), "--from", "yesterday"),
                    ("event", "export", "--out", path("missing/events.csv"))):
        result = as_user("anna", *refused)
        assert result.returncode in (1, 2) and result.stderr, result
    with open(path("events.csv"), encoding="utf-8", newline="") as file:
        equal(file.read(), text, "what is there stays")
    equal([name for name in os.listdir(FOLDER.name) if "none.csv" in name or name.endswith(".tmp")], [])


def events_are_followed_through_a_restart():
    child = subprocess.Popen([CTL, "--manager", f"https://localhost:{SERVER.port}", "--ca", path("ca.pem"),
                              "--token-file", path("token-anna"), "--json", "event", "list", "--follow", "--limit", "1"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines, words = queue.Queue(), queue.Queue()
    for stream, where in (child.stdout, lines), (child.stderr, words):
        threading.Thread(target=lambda s=stream, q=where: [q.put(line) for line in s], daemon=True).start()

    def comes(operation, phase):
        while (event := json.loads(lines.get(timeout=60)))["operation"] != operation or event["phase"] != phase:
            seen.append(event["seq"])
        seen.append(event["seq"])

    seen = [json.loads(lines.get(timeout=60))["seq"]]
    good("anna", "cluster", "create", "c7")
    comes("cluster.create", "outcome")
    SERVER.stop()
    assert "Trying again" in words.get(timeout=60)
    SERVER.start()
    # The session has ended with the manager, and no request is made in it again and again
    assert "Waiting for a new session" in words.get(timeout=60)
    good("anna", "session", "create", "anna", "--password-file", path("anna"))
    good("anna", "cluster", "delete", "c7")
    comes("cluster.delete", "outcome")
    equal(seen, list(range(seen[0], seen[0] + len(seen))), "none is lost and none comes twice")
    child.send_signal(signal.SIGINT)
    equal(child.wait(60), 0, "Ctrl-C is how it ends")


def an_export_that_is_interrupted_leaves_nothing():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        child = subprocess.Popen([CTL, "--manager", f"https://127.0.0.1:{listener.getsockname()[1]}",
                                  "--token-file", path("token-anna"), "event", "export", "--out", path("half.json")],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        connection, _ = listener.accept()
        equal([name for name in os.listdir(FOLDER.name) if "half.json" in name and name != "half.json"] != [], True)
        child.send_signal(signal.SIGTERM)
        _, error = child.communicate(timeout=60)
        connection.close()
    equal(child.returncode, 1, error)
    assert "Interrupted" in error and "half.json was not made" in error, error
    equal([name for name in os.listdir(FOLDER.name) if "half.json" in name], [])


def a_user_has_a_certificate_and_no_password():
    good("anna", "user", "create", "robot", "--fingerprint", "ab" * 32)
    robot = good("anna", "user", "show", "robot")
    equal((robot["certificate"], robot["has_password"]), ("ab" * 32, False))
    good("anna", "user", "create", "both", "--fingerprint", "cd" * 32, "--password-file", path("anna"))
    equal(good("anna", "user", "show", "both")["has_password"], True)
    for user in "robot", "both":
        good("anna", "user", "delete", user)


def a_terminal_asks_for_the_old_password_and_twice_for_the_new_one():
    good("bob", "session", "create", "bob", "--password-file", path("bob3"))
    typed = [b"bob's own password", b"typed by bob", b"typed by bob"]
    child, terminal = os.forkpty()
    if child == 0:
        os.execv(CTL, [CTL, "--manager", f"https://localhost:{SERVER.port}", "--ca", path("ca.pem"),
                       "--token-file", path("token-bob"), "session", "password"])
    shown = b""
    for text in typed:
        while not shown.endswith(b": "):
            shown += os.read(terminal, 4096)
        shown += b"|"
        os.write(terminal, text + b"\n")
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    equal((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.count(b"New password: ")), (0, 1), shown)
    assert b"bob" not in shown, shown
    good("bob", "session", "create", "bob", "--password-file", password("bob4", "typed by bob"))
    good("bob", "session", "end")


def every_effect_has_an_intent_before_it():
    """Which says what is about to be done to what; only what has no id yet is named by where it comes to be"""
    events = good("anna", "event", "list", "--limit", "0")["events"]
    new = {"cluster.create": "cluster:", "provider.create": "provider:", "provider.restore": "provider:"}
    begun, outcomes = {}, set()
    for event in events:
        if event["phase"] == "intent":
            begun[event["id"]] = event
            assert event["object"] and event["type"] is None, event
        elif event["phase"] == "outcome":
            outcomes.add(event["operation"])
            if event["object"] != begun[event["id"]]["object"]:
                assert event["result"] == "ok" and begun[event["id"]]["object"] == "global", event
                assert event["object"].startswith(new[event["operation"]]), event
    equal({"cluster.create", "vm.register", "user.create", "permission.set"} - outcomes, set())


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
         a_token_that_is_not_used_can_be_revoked, objects_are_shown_renamed_and_moved,
         a_native_provider_comes_back_from_its_backup, a_provider_is_the_default_where_it_is_chosen,
         the_certificate_for_key_servers_is_requested_and_uploaded, a_key_server_s_password_is_a_user_s,
         a_key_server_is_looked_at_taken_in_and_removed,
         who_has_no_privilege_gets_status_4_and_an_event, a_session_ends_when_it_is_told_and_with_the_password,
         a_disabled_user_cannot_log_in, events_are_found_by_what_they_are_about, events_begin_where_it_is_said,
         events_come_in_as_many_answers_as_it_takes, events_are_exported_to_a_file,
         events_are_followed_through_a_restart, an_export_that_is_interrupted_leaves_nothing,
         a_user_has_a_certificate_and_no_password,
         a_terminal_asks_for_the_old_password_and_twice_for_the_new_one,
         every_effect_has_an_intent_before_it, an_altered_event_shows])
finally:
    if SERVER.process and SERVER.process.poll() is None:
        SERVER.process.kill()
