#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A set of key servers over mutual TLS 1.2: two PyKMIP servers that share one
database, as servers that replicate do, one that stands alone, and ports where
nothing good listens.
"""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time

import tap
from pykmip import MEMORY, Server, certificates, free_port, openssl
from relay import Relay
from tap import equal

CLIENT = os.path.join(tap.BUILD, "unit", "test_kmip_servers")
# Of messages that are answered, and of those that are not, ms: each of these is waited for
LONG, SHORT = 60000, 3000
VENDOR = "vendor PyKMIP 0.10.0 Software Server 1.4"


class Client:
    """Orders to a set of servers. @timeout: of each message, ms"""

    def __init__(self, folder, timeout):
        with open(f"{folder}/errors", "a", encoding="utf-8") as errors:
            self.process = subprocess.Popen([CLIENT, folder, str(timeout)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, text=True)

    def do(self, *words):
        """What was found, and code and reason"""
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        found = []
        for line in self.process.stdout:
            if line.startswith("= "):
                return found, line[2:].strip()
            found.append(line.strip())
        raise AssertionError(f"the client has ended: {self.process.wait(60)}")

    def stop(self):
        self.process.stdin.close()
        equal(self.process.wait(60), 0, "the client's exit status")


class Site:
    """Folder and servers of all tests: a and b share a database, c has its own"""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        name = self.folder.name
        certificates(name)
        openssl("pkey", "-in", f"{name}/client.key", "-outform", "DER", "-out", f"{name}/client.der")
        self.servers = []

    def start(self):
        for database in ("a.db", "c.db", "a.db"):
            self.servers.append(Server(self.folder.name, database))

    def stop(self):
        for server in self.servers:
            server.stop()
        self.folder.cleanup()


SITE = Site()


@contextlib.contextmanager
def site(timeout=LONG):
    """A client that knows no server yet, and the servers"""
    client = Client(SITE.folder.name, timeout)
    try:
        a, c, b = SITE.servers
        yield client, (a, b, c)
        client.stop()
    finally:
        client.process.kill()
        client.process.wait()


def made(client, order="create"):
    found, end = client.do(order)
    equal(end, "0", order)
    return found[0].split()[1]


def a_key_s_life_and_its_reasons():
    with site() as (client, (server, _, _)):
        equal(client.do("add", "a", server.port), ([VENDOR], "0"), "add")
        key = made(client)
        equal(client.do("state", key), (["state 2"], "0"), "made active")
        first, end = client.do("fetch", key)
        equal((first[0].split()[1], end), ("32", "0"), "fetch")
        equal(client.do("fetch", key), (first, "0"), "the same key again")
        bare = made(client, "bare")
        equal(client.do("state", bare), (["state 1"], "0"), "not active yet")
        equal(client.do("fetch", bare)[1], "0", "fetch makes it active")
        equal(client.do("state", bare), (["state 2"], "0"), "active by now")
        equal(client.do("tag", key), ([], "-71 KeyStateClusterUnreachable"), "PyKMIP knows no Add Attribute")
        equal(client.do("state", key), (["state 2"], "0"), "which breaks nothing")
        equal(client.do("revoke", key), ([], "0"), "revoke")
        equal(client.do("fetch", key), ([], "-129 KeyStateNotActiveOrEnabled"), "deactivated")
        equal(client.do("destroy", key), ([], "0"), "destroy")
        equal(client.do("fetch", key), ([], "-126 KeyStateMissingInKMS"), "destroyed")
        equal(client.do("fetch", "4711"), ([], "-126 KeyStateMissingInKMS"), "never there")


def one_of_two_down():
    with site() as (client, (a, b, _)):
        equal(client.do("add", "a", a.port), ([VENDOR], "0"), "add")
        key = made(client)
        equal(client.do("add", "b", b.port, key), ([VENDOR], "0"), "add one that replicates")
        first = client.do("fetch", key)
        equal(client.do("probe", key), (["a 1.4 0", "b 1.4 0"], "0"), "both good")
        a.stop()
        equal(client.do("fetch", key), first, "from the other one")
        equal(client.do("create")[1], "0", "made by the other one")
        equal(client.do("probe", key), (["a 0.0 -111 KeyStateClusterUnreachable", "b 1.4 0"], "0"), "one down")
        equal(client.do("remove", "b"), ([], "0"), "remove")
        equal(client.do("fetch", key)[1].split()[1], "KeyStateClusterUnreachable", "none left")


def made_by(client, server):
    client.do("put", "x", server.port)
    key = made(client)
    client.do("remove", "x")
    return int(key)


def another_key_under_the_same_id():
    """Servers number their keys: the one that stands alone has one of the same number."""
    with site() as (client, (a, b, c)):
        key, other = made_by(client, a), made_by(client, c)
        while key != other:
            if key < other:
                key = made_by(client, a)
            else:
                other = made_by(client, c)
        client.do("put", "a", a.port)
        check = client.do("fetch", key)[0][0].split()[2]
        equal(client.do("add", "b", b.port, key, "-", check), ([VENDOR], "0"), "the same key")
        equal(client.do("add", "c", c.port, key, "-", check), ([], "-126 KeyStateMissingInKMS"), "another key")
        with open(f"{SITE.folder.name}/errors", encoding="utf-8") as file:
            text = file.read().splitlines()[-1]
        assert "is another key: its check value differs" in text and "replicate" in text, text
        client.do("put", "c", c.port)
        equal(client.do("probe", key, check)[0], ["a 1.4 0", "b 1.4 0", "c 1.4 -126 KeyStateMissingInKMS"], "probe")
        equal(client.do("probe", key)[0], ["a 1.4 0", "b 1.4 0", "c 1.4 0"], "nothing to compare with")


def who_does_not_fit():
    with site() as (client, (a, _, b)):
        equal(client.do("put", "a", a.port, "-", "Acme"), ([], "0"), "put")
        equal(client.do("add", "b", b.port)[1].split()[0], "-18", "another vendor's")
        equal(client.do("remove", "a"), ([], "0"), "remove")
        equal(client.do("put", "a", a.port), ([], "0"), "put, vendor not known")
        key = made(client)
        equal(client.do("add", "b", b.port, key), ([], "-126 KeyStateMissingInKMS"), "does not replicate")
        equal(client.do("add", "a", a.port, key)[1].split()[0], "-17", "there already")
        equal(client.do("probe"), (["a 1.4 0"], "0"), "neither was taken in")


def relay(server):
    return contextlib.closing(Relay(server.port))


def connections_are_kept_and_used_again():
    with site() as (client, (a, _, _)), relay(a) as between:
        client.do("put", "a", between.port)
        key = made(client)
        first = client.do("fetch", key)
        equal(first[1], "0", "fetch")
        equal(client.do("fetch", key), first, "the same key again")
        equal(len(between.connections), 1, "connections of three calls")
        between.cut()
        equal(client.do("fetch", key), first, "after the server has closed it")
        equal(len(between.connections), 2, "connections then")


def a_silent_server_is_waited_for_once():
    """One that is gone without a word, with connections to it that are kept"""
    with site(SHORT) as (client, (a, b, _)), relay(a) as between:
        client.do("put", "a", between.port)
        key = made(client)
        between.delay = 0.2
        equal(client.do("crowd", key, 4), ([], "0"), "four at once")
        equal(len(between.connections), 4, "connections that are kept")
        between.delay = 0
        client.do("put", "b", b.port)
        between.hush()
        equal(client.do("fetch", key)[1], "0", "from the other one")
        equal(between.asked(), 1, "connections that were waited for")
        between.recover()
        equal(client.do("probe", key), (["a 1.4 0", "b 1.4 0"], "0"), "it is back")
        equal(client.do("fetch", key)[1], "0", "by whichever")
        equal(between.asked(), 1, "what was open before is not tried again")


def nobody_waits_twice_for_the_same():
    """While no server of the provider can be had"""
    with site(SHORT) as (client, (a, _, _)), relay(a) as between:
        client.do("put", "a", between.port)
        key = made(client)
        between.hush()
        first = client.do("fetch", key)
        equal(first[1], "-110 KeyStateClusterUnreachable", "it does not answer")
        count = len(between.connections)
        for _ in range(3):
            equal(client.do("fetch", key), first, "the same again, without asking")
        equal(len(between.connections), count, "no new connection")
        between.recover()
        equal(client.do("probe", key), (["a 1.4 0"], "0"), "who looks closely asks")
        equal(client.do("fetch", key)[1], "0", "and so do all others from then on")
        between.hush()
        equal(client.do("fetch", key), first, "silent again")
        between.recover()
        time.sleep(2.1)
        equal(client.do("fetch", key)[1], "0", "asked anew after a while")


def a_key_that_comes_too_late_is_destroyed():
    """By a server that answers each message, and slowly"""
    with site() as (client, (a, _, _)), relay(a) as between:
        client.do("put", "a", between.port)
        key = int(made(client))
        between.delay = 0.7
        client.do("within", 1000)
        equal(client.do("create"), ([], "-110 KeyStateClusterUnreachable"), "a key and its activation")
        client.do("within", 60000)
        between.delay = 0
        equal(client.do("fetch", key + 1), ([], "-126 KeyStateMissingInKMS"), "it is gone again")
        equal(made(client), str(key + 2), "and was there")
        equal(len(between.connections), 1, "connections: none broke")


def what_one_server_misses_is_told():
    """About the wrapping key, whatever the next server fails with"""
    with site(SHORT) as (client, (a, _, c)), relay(c) as between:
        client.do("put", "a", a.port)
        key = made(client)
        equal(client.do("add", "c", between.port)[1], "0", "one with a connection that is kept")
        between.hush()
        equal(client.do("fetch", key, "4711"), (["about the wrapping key"], "-126 KeyStateMissingInKMS"), "fetch")
        equal(between.asked(), 1, "connections of the next server")


def a_stalled_server_gets_company():
    """The first call of a client, the first of whose servers does not answer"""
    with site(SHORT) as (client, (good, _, _)), socket.create_server(("127.0.0.1", 0)) as stalled:
        client.do("put", "stalled", stalled.getsockname()[1])
        client.do("put", "good", good.port)
        begin = time.monotonic()
        equal(client.do("create")[1], "0", "by the second one")
        if time.monotonic() - begin >= SHORT / 1000:
            raise AssertionError("the second server was tried only when the first one's time was over")


def answer_garbage(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.recv(4096)


def beside_servers_that_misbehave():
    with site(SHORT) as (client, (good, _, _)), socket.create_server(("127.0.0.1", 0)) as stalled, \
            socket.create_server(("127.0.0.1", 0)) as garbage:
        thread = threading.Thread(target=answer_garbage, args=(garbage,))
        thread.start()
        client.do("put", "stalled", stalled.getsockname()[1])
        client.do("put", "garbage", garbage.getsockname()[1])
        client.do("put", "down", free_port())
        equal(client.do("create")[1].split()[1], "KeyStateClusterUnreachable", "none good")
        client.do("put", "good", good.port)
        key = made(client)
        equal(client.do("fetch", key)[1], "0", "fetch")
        found, end = client.do("probe", key)
        equal((found, end), (["stalled 0.0 -110 KeyStateClusterUnreachable", "garbage 0.0 -71 KeyStateClusterUnreachable",
                              "down 0.0 -111 KeyStateClusterUnreachable", "good 1.4 0"], "0"), "probe")
        garbage.shutdown(socket.SHUT_RDWR)
        thread.join(60)


if __name__ == "__main__":
    try:
        SITE.start()
        # The last one kills a server
        tap.run([a_key_s_life_and_its_reasons, who_does_not_fit, another_key_under_the_same_id,
                 connections_are_kept_and_used_again, a_silent_server_is_waited_for_once,
                 nobody_waits_twice_for_the_same, a_key_that_comes_too_late_is_destroyed,
                 what_one_server_misses_is_told, a_stalled_server_gets_company,
                 beside_servers_that_misbehave, one_of_two_down])
    finally:
        SITE.stop()
