#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Providers and keys of the manager against PyKMIP on loopback, over mutual TLS, with
hosts that are played: two servers that share one database, one that stands alone, and
ports where nothing good listens. Each test has a manager of its own.
"""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time

from kmip.core import enums
from kmip.pie.client import ProxyKmipClient

import tap
from pykmip import MEMORY, Server, certificates, free_port, openssl
from tap import equal
from test_kmip_servers import answer_garbage

PROGRAM = os.path.join(tap.BUILD, "unit", "test_manager_keys")
HOST = "00000000-0000-4000-8000-00000000000"
VM = "00000000-0000-4000-8000-0000000000a1"
ONE, TWO = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2"
GOOD, AWAY, REFUSES, WRONG = range(4)
SITE = {}


class Manager:
    """The program, and a folder for its store."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="vmcrypt-unit-")
        self.dir = os.path.join(self.folder.name, "manager")
        os.mkdir(self.dir, 0o700)
        self.errors = open(os.path.join(self.folder.name, "log"), "w", encoding="utf-8")
        self.process = subprocess.Popen([PROGRAM, self.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True)
        self.output = []

    def ask(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the program has ended: {self.process.wait(60)}")
        self.output.append(line)
        return json.loads(line)

    def do(self, *words):
        answer = self.ask(*words)
        if answer["r"] < 0:
            raise AssertionError(f"{words}: {answer}")
        return answer["result"]

    def fails(self, errno, *words, reason="", says=""):
        answer = self.ask(*words)
        equal((answer["errno"], answer["reason"]), (errno, reason), (words, answer["text"]))
        assert len(answer["text"]) > 10 and says in answer["text"], answer["text"]
        return answer

    def rows(self, **want):
        """Rows of the record that have these members."""
        return [row for row in self.do("rows", 0) if all(row[k] == v for k, v in want.items())]

    def no_key_is_anywhere(self):
        """Not in the database, not in its log, not in what was answered, not in what was logged."""
        with open(os.path.join(self.folder.name, "output"), "w", encoding="utf-8") as file:
            file.writelines(self.output)
        self.errors.flush()
        seen = 0
        for folder, _, names in os.walk(self.folder.name):
            for name in names:
                if name == "reserve":  # nothing but space
                    continue
                seen = self.do("search", os.path.join(folder, name))
        return seen

    def stop(self):
        try:
            if self.process.poll() is None:
                self.no_key_is_anywhere()
                self.process.stdin.close()
                equal(self.process.wait(120), 0, "exit status")
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.errors.close()
            with open(self.errors.name, encoding="utf-8") as file:
                text = file.read()
            self.folder.cleanup()
            assert "Sanitizer" not in text, text


def read(name):
    with open(os.path.join(SITE["folder"].name, name), encoding="ascii") as file:
        return file.read()


@contextlib.contextmanager
def manager():
    m = Manager()
    try:
        yield m
    finally:
        m.stop()


def kms(m, name="kms", server=0):
    """A provider with a certificate and one server."""
    provider = m.do("provider", name, "standard")
    m.do("certificate", provider, read("client.pem"), read("client.key"))
    m.do("server", provider, "a", str(SITE["servers"][server].port), read("ca.pem"))
    return provider


def site(m):
    """Two hosts of one cluster, one of another, and a VM of the first."""
    m.do("host", HOST + "1", "one", ONE, "safe")
    m.do("host", HOST + "2", "two", ONE, "safe")
    m.do("host", HOST + "3", "three", TWO, "safe")
    m.do("put", "vm", VM, {"name": "web", "cluster": ONE})


def kmip(*words):
    """What the key server's people do, by the test of agent/kmip."""
    program = os.path.join(tap.BUILD, "unit", "test_kmip_servers")
    lines = [f"put x {SITE['servers'][0].port}", " ".join(words)]
    done = subprocess.run([program, SITE["folder"].name], input="\n".join(lines) + "\n", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=True)
    results = [line for line in done.stdout.splitlines() if line.startswith("= ")]
    equal(results[1].split()[1], "0", (words, done.stderr))
    return done.stdout


def a_key_for_a_vm_s_hosts():
    with manager() as m:
        provider = kms(m)
        site(m)
        new = m.do("new", HOST + "1", "web", "vda")
        equal(new["provider"], provider, "the default one")
        equal(m.do("asked", HOST + "2")["keys"], {new["key"]: True}, "the other host of the cluster")
        equal(m.do("asked", HOST + "3")["keys"], {}, "a host of another cluster")
        equal(m.do("get", HOST + "2", provider, new["key"])["sum"], new["sum"], "the same key")
        m.fails("EACCES", "get", HOST + "3", provider, new["key"], says=VM)
        m.fails("EACCES", "new", HOST + "3", "web", "vda")
        document = m.do("document", "key", f"{provider}/{new['key']}")
        equal((document["vm"], document["disk"], document["host"]), (VM, "vda", None), "document")
        again = m.do("new", HOST + "1", "web", "vdb", provider)
        assert again["key"] != new["key"] and again["sum"] != new["sum"], (new, again)
        assert m.no_key_is_anywhere() >= 5


def every_effect_is_recorded():
    with manager() as m:
        provider = kms(m)
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        m.do("get", HOST + "1", provider, key)
        m.fails("EACCES", "get", HOST + "3", provider, key)
        rows = m.rows(operation="key.new")
        equal([(r["phase"], r["key"], r["vm"], r["host"], r["user"], r["result"]) for r in rows],
              [("intent", None, VM, HOST + "1", f"host:{HOST}1", None),
               ("outcome", key, VM, HOST + "1", f"host:{HOST}1", "ok")], "key.new")
        equal([r["type"] for r in rows], [None, "com.vmware.vc.crypto.Operation"], "type")
        push = m.rows(operation="key.push")
        equal([(r["phase"], r["key"], r["host"], r["user"]) for r in push],
              [("intent", key, HOST + "2", "manager"), ("outcome", key, HOST + "2", "manager")], "key.push")
        assert rows[0]["seq"] < push[0]["seq"] < push[1]["seq"] < rows[1]["seq"]
        equal([(r["phase"], r["result"], r["host"]) for r in m.rows(operation="key.get")],
              [("intent", None, HOST + "1"), ("outcome", "ok", HOST + "1"), ("note", "refused", HOST + "3")],
              "key.get")
        equal([r["phase"] for r in m.rows(operation="provider.probe-key")], ["intent", "outcome"], "probe key")
        # Who had the host make the disk that the key is for
        m.do("new", HOST + "1", "web", "vdb", None, VM, "carl")
        begun, done = m.rows(operation="key.new")[-2:]
        equal([r["data"].get("order") for r in (rows[0], begun, done)],
              [None, {"user": "carl", "event": "e1"}, {"user": "carl", "event": "e1"}], "order")
        for _ in range(60):
            m.fails("EACCES", "get", HOST + "3", provider, key)
        notes = [r for r in m.rows(operation="key.get") if r["phase"] == "note"]
        assert len(notes) <= 31, f"{len(notes)} refusals of one host"


def reasons_of_a_key_server():
    with manager() as m:
        provider = kms(m)
        site(m)
        for action, reason, errno in ((["revoke"], "KeyStateNotActiveOrEnabled", "EKEYREJECTED"),
                                      (["revoke", "destroy"], "KeyStateMissingInKMS", "ENOKEY")):
            key = m.do("new", HOST + "1", "web", "vda")["key"]
            for verb in action:
                kmip(verb, key)
            answer = m.fails(errno, "get", HOST + "1", provider, key, reason=reason, says=reason)
            equal(answer["status"], 3, "exit status")
            equal(m.rows(operation="key.get", key=key)[-1]["type"],
                  "com.vmware.vc.kms.crypto.SendKeyError.KeyMissingOnKMS", "event")
        # A key that is on no list of the manager's
        m.fails("ENOKEY", "get", HOST + "1", provider, "none", reason="KeyStateMissingInCache")
        shown = m.do("show", provider, key)
        equal((shown["state"], shown["reason"]), (None, "KeyStateMissingInKMS"), "state")


def a_key_server_that_is_no_good():
    with manager() as m, socket.create_server(("127.0.0.1", 0)) as stalled, \
            socket.create_server(("127.0.0.1", 0)) as garbage:
        thread = threading.Thread(target=answer_garbage, args=(garbage,))
        thread.start()
        try:
            provider = kms(m)
            site(m)
            key = m.do("new", HOST + "1", "web", "vda")["key"]
            document = m.do("document", "provider", provider)
            for what, port in (("down", free_port()), ("slow", stalled.getsockname()[1]),
                               ("garbage", garbage.getsockname()[1])):
                document["servers"][0].update(port=port, name=what)
                m.do("put", "provider", provider, document)
                m.do("reopen", m.dir)
                answer = m.fails(m.ask("get", HOST + "1", provider, key)["errno"], "get", HOST + "1", provider,
                                 key, reason="KeyStateClusterUnreachable")
                equal(answer["status"], 3, what)
                equal(m.ask("new", HOST + "1", "web", "vdb")["reason"], "KeyStateClusterUnreachable", what)
                equal(m.rows(operation="key.new")[-1]["type"], "com.vmware.vc.kms.crypto.KeyGenerateFail", what)
            equal(m.do("keys", provider)[0]["reason"], "KeyStateClusterUnreachable", "list")
            status = m.do("status", provider)
            equal((status["state"], status["servers"][0]["reason"]), ("red", "KeyStateClusterUnreachable"), "status")
        finally:
            garbage.shutdown(socket.SHUT_RDWR)
            thread.join(60)


def who_waits_gets_it_when_it_is_back():
    with manager() as m:
        provider = kms(m)
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        m.do("asked", HOST + "1")
        document = m.do("document", "provider", provider)
        good = document["servers"][0]["port"]
        document["servers"][0]["port"] = free_port()
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        m.fails("ECONNREFUSED", "get", HOST + "1", provider, key, reason="KeyStateClusterUnreachable")
        equal(m.do("retry", 0), 1, "not due yet")
        equal(m.do("retry", 60000), 1, "still down")
        document["servers"][0]["port"] = good
        m.do("put", "provider", provider, document)
        m.do("trust", provider, "a", None, read("ca.pem"))
        equal(m.do("asked", HOST + "1")["keys"], {}, "not yet")
        equal(m.do("retry", 600000), 0, "back")
        equal(m.do("asked", HOST + "1")["keys"], {key: True}, "pushed")


def provision_gives_all():
    with manager() as m:
        provider = kms(m)
        other = m.do("provider", "other", "standard")
        site(m)
        keys = {m.do("new", HOST + "1", "web", "vda")["key"] for _ in range(3)}
        own = m.do("host_key", HOST + "2")
        equal(own["provider"], provider, "host key")
        m.do("asked", HOST + "2")
        m.do("default", f"cluster:{ONE}", other)
        m.do("provision", HOST + "2")
        found = m.do("asked", HOST + "2")
        asked = found["asked"]
        equal([a["op"] for a in asked], ["provider.set", "key.push"], "asked")
        equal({p["name"]: p["default"] for p in asked[0]["args"]["providers"]}, {"kms": False, "other": True},
              "providers")
        equal({k["key"] for k in asked[1]["args"]["keys"]}, keys | {own["key"]}, "keys")
        # Each key has its event, so that it is found by it, with what became of it on the host
        for key in keys | {own["key"]}:
            rows = [r for r in m.rows(operation="key.push", key=key) if r["host"] == HOST + "2"][-2:]
            equal([(r["phase"], r["result"], r["data"]["provider"]) for r in rows],
                  [("intent", None, provider), ("outcome", "ok", provider)], "a key's push")
        m.do("provision", HOST + "3")
        equal([a["op"] for a in m.do("asked", HOST + "3")["asked"]], ["provider.set"], "another cluster")
        m.do("put", "host", HOST + "2", {"name": "two", "cluster": ONE, "mode": "prepared", "state": "active"})
        m.do("provision", HOST + "2")
        equal([a["op"] for a in m.do("asked", HOST + "2")["asked"]], ["provider.set"], "not safe")
        kmip("revoke", sorted(keys)[0])
        answer = m.ask("provision", HOST + "1")
        assert "KeyStateNotActiveOrEnabled" in answer["text"], answer
        equal({k["key"] for k in m.do("asked", HOST + "1")["asked"][-1]["args"]["keys"]},
              keys - {sorted(keys)[0]}, "the others")


def status_is_a_real_wrap():
    with manager() as m:
        provider = kms(m)
        site(m)
        m.do("play", HOST + "2", WRONG)
        m.do("play", HOST + "3", AWAY)
        status = m.do("status", provider)
        equal(status["state"], "yellow", status)
        equal([(s["name"], s["ok"], s["version"]) for s in status["servers"]], [("a", True, "1.4")], "servers")
        equal({h["name"]: h["ok"] for h in status["hosts"]}, {"one": True, "two": False, "three": False}, "hosts")
        assert any("ends in" in w for w in status["warnings"]), status  # the certificates are of one day
        assert status["certificate_end"], status


def who_has_keys_tried_is_recorded():
    """That hosts are given the probe key, and so once a minute."""
    with manager() as m:
        provider = kms(m)
        site(m)
        probe = m.do("document", "provider", provider)["probe_key"]
        while True:
            before, minute = len(m.rows(operation="provider.status")), time.time() // 60
            for _ in range(3):
                equal(all(h["ok"] for h in m.do("status", provider)["hosts"]), True, "hosts")
            rows = m.rows(operation="provider.status")[before:]
            if time.time() // 60 == minute:
                break
            time.sleep(60 - time.time() % 60)
        equal([(r["phase"], r["user"], r["key"], r["object"], r["type"]) for r in rows],
              [("intent", "anna", probe, "provider:" + provider, None),
               ("outcome", "anna", probe, "provider:" + provider, "com.vmware.vc.crypto.Operation")], "recorded")
        other = kms(m, "other")
        # A record that takes one row more
        m.do("reopen", m.dir, f"CREATE UNIQUE INDEX full ON event(hash IS NULL) WHERE seq > {m.rows()[-1]['seq']}")
        m.do("watch", int(time.time()))
        for _ in range(2):
            status = m.do("status", other)
            equal((status["servers"][0]["ok"], status["hosts"]), (True, []), "servers, and no host")
            assert any("No host was tried" in w for w in status["warnings"]), status


def keys_that_are_used_stay():
    with manager() as m:
        provider = kms(m)
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        m.do("put", "disk", "d1", {"vm": VM, "keys": [{"provider": provider, "key": key}]})
        shown = m.do("show", provider, key)
        equal((shown["state"], shown["disks"], shown["vm"]), ("active", ["d1"], VM), "shown")
        m.fails("EBUSY", "remove", provider, key, says="d1")
        m.fails("EBUSY", "remove_server", provider, "a")
        used, key = key, m.do("new", HOST + "1", "web", "vdb")["key"]
        m.do("play", HOST + "2", REFUSES)
        m.fails("EBUSY", "remove", provider, key, says="vdb")
        m.do("play", HOST + "2", GOOD)
        m.do("remove", provider, key)
        equal(m.do("asked", HOST + "2")["keys"], {used: True}, "on the host")
        m.fails("ENOENT", "show", provider, key)
        m.fails("ENOKEY", "get", HOST + "1", provider, key, reason="KeyStateMissingInCache")
        # It is still at the key server, and can be taken in again
        m.do("register", provider, key, VM)
        m.fails("EEXIST", "register", provider, key, VM)
        m.do("get", HOST + "1", provider, key)
        m.do("remove", provider, key, "destroy")
        m.fails("ENOKEY", "register", provider, key, VM)
        equal([k["key"] for k in m.do("keys", provider)], [used], "list")


def wrapping_key():
    """Made by PyKMIP's own client: the manager uses such keys and makes none."""
    name = SITE["folder"].name
    with ProxyKmipClient(hostname="127.0.0.1", port=SITE["servers"][0].port, cert=f"{name}/client.pem",
                         key=f"{name}/client.key", ca=f"{name}/ca.pem", ssl_version="PROTOCOL_TLSv1_2") as client:
        key = client.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=[
            enums.CryptographicUsageMask.WRAP_KEY, enums.CryptographicUsageMask.UNWRAP_KEY])
        client.activate(key)
    return key


def wrapped_on_their_way():
    with manager() as m:
        wrapping = wrapping_key()
        provider = m.do("provider", "kms", "standard", wrapping)
        m.do("certificate", provider, read("client.pem"), read("client.key"))
        m.do("server", provider, "a", str(SITE["servers"][0].port), read("ca.pem"))
        site(m)
        new = m.do("new", HOST + "1", "web", "vda")
        equal(m.do("get", HOST + "2", provider, new["key"])["sum"], new["sum"], "the same")
        m.do("server", provider, "b", str(SITE["servers"][2].port), read("ca.pem"))
        kmip("revoke", wrapping)
        m.fails("EKEYREJECTED", "get", HOST + "1", provider, new["key"], reason="WrappingKeyNotActiveOrEnabled")
        equal([s["reason"] for s in m.do("status", provider)["servers"]], ["WrappingKeyNotActiveOrEnabled"] * 2,
              "read as keys are")
        kmip("destroy", wrapping)
        m.fails("ENOKEY", "get", HOST + "1", provider, new["key"], reason="WrappingKeyMissingInKMS")


def changes_are_recorded_once():
    with manager() as m:
        provider = kms(m)
        now = 1700000000
        m.do("watch", now)
        ends = [r["type"] for r in m.rows(operation="provider.watch")]
        equal(ends, [], "in time")
        document = m.do("document", "provider", provider)
        good = document["servers"][0]["port"]
        for port in (free_port(), good):
            document["servers"][0]["port"] = port
            m.do("put", "provider", provider, document)
            m.do("self_signed", provider)
            m.do("certificate", provider, read("client.pem"), read("client.key"))
            m.do("watch", now)
            m.do("watch", now)
        rows = m.rows(operation="provider.watch")
        equal([r["type"] for r in rows], ["com.vmware.vc.kms.crypto.Unreachable"] * 2 + [None] * 2, "changes")
        assert "again" in rows[-1]["result"], rows[-1]
        soon = time.time()
        for day in range(2):
            for _ in range(2):
                m.do("watch", int(soon) + day * 86400)
        types = [r["type"] for r in m.rows(operation="provider.watch")][4:]
        equal(types, ["com.vmware.vc.vecs.KMSClientCertExpirationEvent",
                      "com.vmware.vc.vecs.KMSServerCertExpirationEvent"] * 2, "once a day")


def start():
    SITE["folder"] = tempfile.TemporaryDirectory(dir=MEMORY)
    certificates(SITE["folder"].name)
    openssl("pkey", "-in", f"{SITE['folder'].name}/client.key", "-outform", "DER", "-out",
            f"{SITE['folder'].name}/client.der")
    SITE["servers"] = [Server(SITE["folder"].name, database) for database in ("a.db", "c.db", "a.db")]


def stop():
    for server in SITE.get("servers", []):
        server.stop()
    SITE["folder"].cleanup()


if __name__ == "__main__":
    try:
        start()
        tap.run([a_key_for_a_vm_s_hosts, every_effect_is_recorded, reasons_of_a_key_server,
                 a_key_server_that_is_no_good, who_waits_gets_it_when_it_is_back, provision_gives_all,
                 status_is_a_real_wrap, who_has_keys_tried_is_recorded, keys_that_are_used_stay, wrapped_on_their_way,
                 changes_are_recorded_once])
    finally:
        stop()
