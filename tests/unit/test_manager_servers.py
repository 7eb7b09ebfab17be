#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Key servers of the manager's providers, and its certificates for them, against PyKMIP on
loopback as in test_manager_keys.py: taken in, changed, and held against each other.
"""

import json
import os
import subprocess

import tap
from pykmip import Eavesdropper, free_port, sign
from tap import equal
from test_manager_keys import HOST, SITE, kmip, kms, manager, read, site, start, stop


def servers_are_one_vendor_s_and_replicate():
    with manager() as m:
        provider = kms(m)
        a, c, b = SITE["servers"]
        ca = read("ca.pem")
        m.fails("ENOKEY", "server", provider, "c", str(c.port), ca, says="replicate")
        m.fails("EINVAL", "server", provider, "b", str(b.port), None, says="pin")
        m.fails("EBADE", "server", provider, "b", str(b.port), None, "0" * 64)
        seen = m.do("look", str(b.port))
        m.do("server", provider, "b", str(b.port), None, seen["fingerprint"])
        m.fails("EEXIST", "server", provider, "b", str(b.port), ca)
        document = m.do("document", "provider", provider)
        equal([s["name"] for s in document["servers"]], ["a", "b"], "servers")
        document["servers"][0]["vendor"] = "Acme 1"
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        m.fails("EXDEV", "server", provider, "d", str(a.port), ca, says="Acme")
        m.fails("ENOENT", "remove_server", provider, "d")
        m.do("remove_server", provider, "b")
        m.fails("EBADE", "trust", provider, "a", "0" * 64, None)
        equal(m.do("document", "provider", provider)["servers"][0]["pin"], None, "what fails is not kept")
        text = json.dumps(m.do("view", provider))
        for part in "ciphertext", "certificate_key", "password":
            assert part not in text, text


def made_at(server):
    """A key that somebody else has made there"""
    program = os.path.join(tap.BUILD, "unit", "test_kmip_servers")
    done = subprocess.run([program, SITE["folder"].name], input=f"put x {server.port}\ncreate\n", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=True)
    return int(done.stdout.splitlines()[1].split()[1])


def level(first, second):
    """Make keys until the next one has the same id at two servers that number them."""
    a, b = made_at(first), made_at(second)
    while a != b:
        if a < b:
            a = made_at(first)
        else:
            b = made_at(second)


def servers_with_the_same_ids():
    a, c, b = SITE["servers"]
    ca = read("ca.pem")
    with manager() as m:
        level(a, c)
        provider = kms(m)
        made_at(c)
        m.fails("ENOKEY", "server", provider, "c", str(c.port), ca, says="check value")
        m.do("server", provider, "b", str(b.port), ca)
        document = m.do("document", "provider", provider)
        equal([s["name"] for s in document["servers"]], ["a", "b"], "servers")
        check = document["probe_check"]
        assert check not in json.dumps(m.do("view", provider)), "shown"
        equal(m.do("status", provider)["state"], "yellow", "certificates of a day, and no more")
        # One that goes its own way later
        document["servers"][1]["port"] = c.port
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        status = m.do("status", provider)
        equal([(s["name"], s["ok"], s["reason"]) for s in status["servers"]],
              [("a", True, None), ("b", False, "KeyStateMissingInKMS")], "servers")
        assert "check value" in status["servers"][1]["text"], status
        m.do("watch", 1700000000)
        rows = m.rows(operation="provider.watch")
        equal(len(rows), 1, rows)
        assert "check value" in rows[0]["result"], rows
        equal(rows[0]["type"], "com.vmware.vc.kms.crypto.SendKeyError.KeyMissingOnKMS", "it is reached")
        m.fails("ENOKEY", "trust", provider, "b", None, ca, says="check value")
        m.do("trust", provider, "a", None, ca)
        # What was kept before there were check values gets its own
        del document["probe_check"]
        document["servers"][1]["port"] = b.port
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        m.do("watch", 1700000060)
        equal(m.do("document", "provider", provider)["probe_check"], check, "learned")
        m.fails("ENOKEY", "server", provider, "c", str(c.port), ca, says="check value")


def a_probe_key_that_is_lost_has_a_successor():
    with manager() as m:
        provider = kms(m)
        old = m.do("document", "provider", provider)
        kmip("revoke", old["probe_key"])
        kmip("destroy", old["probe_key"])
        b, ca = str(SITE["servers"][2].port), read("ca.pem")
        # Of the servers that are there, and so it stays when the new one is no good
        m.fails("EBADE", "server", provider, "b", b, None, "0" * 64)
        new = m.do("document", "provider", provider)
        for member in "probe_key", "probe_check":
            assert new[member] and new[member] != old[member], (old, new)
        equal(m.do("status", provider)["servers"][0]["ok"], True, "it is used")
        m.do("server", provider, "b", b, ca)
        equal(m.do("document", "provider", provider)["probe_key"], new["probe_key"], "the same")


def a_key_in_use_is_not_undone():
    """A server that does not replicate calls a new key as one is called that is in use."""
    a, c, _ = SITE["servers"]
    with manager() as m:
        level(a, c)
        made_at(c)
        provider = kms(m)
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        document = m.do("document", "provider", provider)
        document["servers"][0]["port"] = c.port
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        answer = m.fails("EEXIST", "new", HOST + "1", "web", "vdb", says=key)
        assert "do not hold the same keys" in answer["text"], answer
        document["servers"][0]["port"] = a.port
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        equal(m.do("show", provider, key)["state"], "active", "the key in use")
        # And what became of it there was left alone
        document["servers"][0]["port"] = c.port
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        equal(m.do("show", provider, key)["state"], "active", "the other one")


def a_version_is_pinned():
    a, _, b = SITE["servers"]
    ca = read("ca.pem")
    with manager() as m:
        provider = kms(m)
        equal([s["version"] for s in m.do("view", provider)["servers"]], ["1.4"], "agreed on")
        m.fails("EINVAL", "server", provider, "b", str(b.port), ca, None, "3.0", says="auto")
        m.fails("EPROTONOSUPPORT", "server", provider, "b", str(b.port), ca, None, "2.1",
                says="does not speak KMIP 2.1, to which it is pinned")
        m.do("server", provider, "b", str(b.port), ca, None, "1.2")
        m.do("reopen", m.dir)
        spoken = [s["version"] for s in m.do("status", provider)["servers"]]
        equal(spoken, ["1.4", "1.2"], "after a restart")
        m.fails("EPROTONOSUPPORT", "change", provider, "b", None, "2.1", says="KMIP 2.1")
        m.do("change", provider, "b", None, "auto")
        equal([s["version"] for s in m.do("view", provider)["servers"]], ["1.4", "1.4"], "agreed on anew")
        # A server that has unlearned it
        document = m.do("document", "provider", provider)
        document["servers"][1]["version"] = "2.1"
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        status = m.do("status", provider)
        equal([s["ok"] for s in status["servers"]], [True, False], "status")
        assert "KMIP 2.1, to which it is pinned" in status["servers"][1]["text"], status


def a_server_is_changed():
    a, c, b = SITE["servers"]
    with manager() as m:
        level(a, c)
        provider = kms(m)
        made_at(c)
        before = m.do("document", "provider", provider)["servers"][0]
        m.fails("ENOENT", "change", provider, "x", str(b.port), says='no key server "x"')
        m.fails("ECONNREFUSED", "change", provider, "a", str(free_port()))
        m.fails("ENOKEY", "change", provider, "a", str(c.port), says="check value")
        m.fails("EINVAL", "change", provider, "a", None, None, None, "correct horse", says="name the")
        equal(m.do("document", "provider", provider)["servers"], [before], "what fails is not kept")
        m.do("change", provider, "a", str(b.port))
        after = m.do("document", "provider", provider)["servers"]
        equal(after, [{**before, "port": b.port}], "and no more")
        equal(m.do("status", provider)["servers"][0]["ok"], True, "it is used")
        m.fails("EINVAL", "server", provider, "a/b", str(b.port), read("ca.pem"), says="a/b")


def text_field(tag, text):
    """A text string as KMIP encodes it"""
    data = text.encode()
    return bytes.fromhex(tag) + b"\x07" + len(data).to_bytes(4, "big") + data


def user_and_password_reach_the_server():
    ear = Eavesdropper(SITE["folder"].name, SITE["servers"][0])
    try:
        with manager() as m:
            provider = m.do("provider", "kms", "standard")
            m.do("certificate", provider, read("client.pem"), read("client.key"))
            m.do("server", provider, "a", str(ear.port), read("ca.pem"), None, None, "vmcrypt", "correct horse")
            site(m)

            def said():
                """What is heard of a manager that has its settings from the store alone"""
                m.do("reopen", m.dir)
                ear.heard = b""
                m.do("new", HOST + "1", "web", "vda")
                assert b"\x42\x00\x78" in ear.heard, "requests"
                return ear.heard

            def names(heard, user, password):
                equal((text_field("420099", user) in heard, text_field("4200a1", password) in heard), (True, True),
                      (user, password))

            names(said(), "vmcrypt", "correct horse")
            m.do("change", provider, "a", None, None, None, "battery staple")
            names(said(), "vmcrypt", "battery staple")
            m.do("change", provider, "a", None, None, "other", "correct horse")
            names(said(), "other", "correct horse")
            text = json.dumps(m.do("document", "provider", provider)) + json.dumps(m.do("view", provider))
            assert "horse" not in text, text
            m.do("change", provider, "a", None, None, "")
            heard = said()
            assert b"\x42\x00\x99" not in heard and b"horse" not in heard, "nobody's"
    finally:
        ear.stop()


def certificates_in_four_ways():
    with manager() as m:
        provider = m.do("provider", "kms", "standard")
        a = SITE["servers"][0]
        ca = read("ca.pem")
        m.fails("EINVAL", "server", provider, "a", str(a.port), ca, says="certificate")
        m.fails("EINVAL", "certificate", provider, read("client.pem"), None, says="request")
        m.do("request", provider)
        request = m.do("document", "provider", provider)["request"]
        folder = SITE["folder"].name
        with open(f"{folder}/our.csr", "w", encoding="ascii") as file:
            file.write(request)
        sign(folder, "our.csr", "our.pem", ["extendedKeyUsage=clientAuth"])
        m.fails("EKEYREJECTED", "certificate", provider, read("client.pem"), None)
        m.do("certificate", provider, read("our.pem"), None)
        m.do("server", provider, "a", str(a.port), ca)
        for way in "self_signed", "signed":
            m.do(way, provider)
            # The server does not know it
            equal(m.do("status", provider)["servers"][0]["ok"], False, way)
        document = m.do("document", "provider", provider)
        before = document["authority"]
        assert "BEGIN CERTIFICATE" in before, document
        m.do("signed", provider)
        equal(m.do("document", "provider", provider)["authority"], before, "the CA stays")


if __name__ == "__main__":
    try:
        start()
        tap.run([servers_are_one_vendor_s_and_replicate, servers_with_the_same_ids,
                 a_probe_key_that_is_lost_has_a_successor, a_key_in_use_is_not_undone, a_version_is_pinned,
                 a_server_is_changed, user_and_password_reach_the_server, certificates_in_four_ways])
    finally:
        stop()
