#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rights that end while a key is on its way from PyKMIP, with the hosts of test_manager_keys.py."""

import contextlib
import socket
import threading

import tap
from pykmip import free_port
from tap import equal
from test_manager_keys import HOST, ONE, TWO, VM, kms, manager, read, site, start, stop


class Gate:
    """Before a key server; while it is shut, what comes waits."""

    def __init__(self, port):
        self.to = port
        self.open = threading.Event()
        self.open.set()
        self.waits = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.socket.accept()
                there = socket.create_connection(("127.0.0.1", self.to))
                for pair in (here, there), (there, here):
                    threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    def pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.open.is_set():
                    self.waits.set()
                    self.open.wait(60)
                sink.sendall(data)
        for end in source, sink:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def while_it_is_fetched(m, gate, *order):
    """What is done in here happens while the key server is asked."""
    gate.waits.clear()
    gate.open.clear()
    m.do("start", *order)
    assert gate.waits.wait(60), order
    yield
    gate.open.set()


def a_right_that_ends_while_the_key_is_fetched():
    with manager() as m:
        provider = kms(m)
        site(m)
        key = m.do("new", HOST + "1", "web", "vda")["key"]
        document = m.do("document", "provider", provider)
        gate = Gate(document["servers"][0]["port"])
        document["servers"][0]["port"] = free_port()
        m.do("put", "provider", provider, document)
        m.do("reopen", m.dir)
        for host in "1", "2":
            m.ask("get", HOST + host, provider, key)
        document["servers"][0]["port"] = gate.port
        m.do("put", "provider", provider, document)
        m.do("trust", provider, "a", None, read("ca.pem"))
        for host in "1", "2":
            m.do("asked", HOST + host)
        m.do("put", "host", HOST + "2", {"name": "two", "cluster": TWO, "mode": "safe", "state": "active"})
        # What waits for it, and is tried again
        with while_it_is_fetched(m, gate, "retry", 600000):
            m.do("move", VM, TWO)
        m.do("finish")
        found = m.do("asked", HOST + "1")
        assert "key.push" not in [a["op"] for a in found["asked"]] and not found["keys"], found
        # The one that may have it now, and waited too, has it
        equal(m.do("asked", HOST + "2")["keys"], {key: True}, "who waits")
        # What is asked for, and what is pushed at a hello
        for order in ("get", HOST + "2", provider, key), ("provision", HOST + "2"):
            m.do("move", VM, TWO)
            with while_it_is_fetched(m, gate, *order):
                m.do("move", VM, ONE)
            answer = m.do("finish")
            equal((answer["errno"], VM in answer["text"]), ("EACCES", True) if order[0] == "get" else ("", False), order)
            assert "key.push" not in [a["op"] for a in m.do("asked", HOST + "2")["asked"]], order
        equal(m.rows(operation="key.get")[-1]["phase"], "outcome", "recorded")
        assert VM in m.rows(operation="key.get")[-1]["result"], m.rows(operation="key.get")[-1]
        # A host that is disabled, and one that is removed
        m.do("move", VM, TWO)
        for mode, errno in ("pending-incapable", "EACCES"), (None, "ENOENT"):
            m.do("put", "host", HOST + "2", {"name": "two", "cluster": TWO, "mode": "safe", "state": "active"})
            with while_it_is_fetched(m, gate, "get", HOST + "2", provider, key):
                m.do("put", "host", HOST + "2", mode and {"name": "two", "cluster": TWO, "mode": mode,
                                                          "state": "active"})
            equal(m.do("finish")["errno"], errno, mode)


if __name__ == "__main__":
    try:
        start()
        tap.run([a_right_that_ends_while_the_key_is_fetched])
    finally:
        stop()
