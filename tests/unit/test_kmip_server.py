#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a key on an independent KMIP server: PyKMIP on loopback, over
mutual TLS 1.2. TLS is done here, between the client's socket and the server.
"""

import os
import select
import socket
import ssl
import subprocess
import tempfile

import tap
from pykmip import MEMORY, Server, certificates
from tap import equal

CLIENT = os.path.join(tap.BUILD, "unit", "test_kmip_client")
# States by number, errors by errno: destroying an active key is denied, then it is gone
LIFE = ["created 0 1", "activated 0 2", "same 1", "destroy -13", "revoked 0 3", "destroyed -126 0"]


def connect(folder, port):
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def relay(ours, server):
    """Carries bytes both ways until the client has closed its end"""
    while True:
        ready = [server] if server.pending() else select.select([ours, server], [], [], 60)[0]
        if not ready:
            raise AssertionError("nothing came for a minute")
        for source in ready:
            data = source.recv(16384)
            if not data:
                return
            (server if source is ours else ours).sendall(data)


def play(folder, port):
    ours, theirs = socket.socketpair()
    with connect(folder, port) as tls, ours:
        with subprocess.Popen([CLIENT, "flow"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as client:
            theirs.close()
            relay(ours, tls)
            ours.close()
            output, errors = client.communicate(timeout=60)
    equal((client.returncode, errors), (0, ""), "client")
    return output.splitlines()


def life_of_a_key_on_pykmip():
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        certificates(folder)
        server = Server(folder)
        try:
            lines = play(folder, server.port)
        finally:
            server.stop()
        equal(lines, ["version 1.4", *LIFE, *LIFE], "what the client found")


if __name__ == "__main__":
    tap.run([life_of_a_key_on_pykmip])
