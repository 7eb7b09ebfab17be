#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a key on an independent KMIP server: PyKMIP on loopback, over
mutual TLS 1.2. TLS is done here, between the client's socket and the server.
"""

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import tap
from tap import equal

CLIENT = os.path.join(tap.BUILD, "unit", "test_kmip_client")
SUITE = "ECDHE-RSA-AES256-SHA384"
SETTINGS = """[server]
hostname=127.0.0.1
port={port}
certificate_path={dir}/server.pem
key_path={dir}/server.key
ca_path={dir}/ca.pem
auth_suite=TLS1.2
policy_path={dir}
enable_tls_client_auth=True
tls_cipher_suites=
    {suite}
logging_level=INFO
database_path={dir}/pykmip.db
"""
# States by number, errors by errno: destroying an active key is denied, then it is gone
LIFE = ["created 0 1", "activated 0 2", "same 1", "destroy -13", "revoked 0 3", "destroyed -126 0"]


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def certificates(folder):
    """A CA, a server for 127.0.0.1 and a client, all of one day"""
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=Test CA",
            "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem")
    for name, use, more in (("server", "serverAuth", "\nsubjectAltName=IP:127.0.0.1"), ("client", "clientAuth", "")):
        with open(f"{folder}/{name}.ext", "w", encoding="utf-8") as file:
            file.write(f"extendedKeyUsage={use}{more}\n")
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key",
                "-CAcreateserial", "-days", "1", "-extfile", f"{folder}/{name}.ext", "-out", f"{folder}/{name}.pem")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(folder, port, server):
    """A TLS connection as soon as the server listens"""
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    end = time.monotonic() + 60
    while True:
        try:
            plain = socket.create_connection(("127.0.0.1", port), timeout=60)
            return context.wrap_socket(plain, server_hostname="127.0.0.1")
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)


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


def play(folder, port, server):
    ours, theirs = socket.socketpair()
    with connect(folder, port, server) as tls, ours:
        with subprocess.Popen([CLIENT, "flow"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as client:
            theirs.close()
            relay(ours, tls)
            ours.close()
            output, errors = client.communicate(timeout=60)
    equal((client.returncode, errors), (0, ""), "client")
    return output.splitlines()


def life_of_a_key_on_pykmip():
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder)
        port = free_port()
        with open(f"{folder}/server.conf", "w", encoding="utf-8") as file:
            file.write(SETTINGS.format(dir=folder, port=port, suite=SUITE))
        with open(f"{folder}/output", "w", encoding="utf-8") as output:
            server = subprocess.Popen([sys.executable, "/usr/bin/pykmip-server", "-f", f"{folder}/server.conf",
                                       "-l", f"{folder}/server.log"], stdout=output, stderr=output)
        try:
            lines = play(folder, port, server)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        equal(lines, ["version 1.4", *LIFE, *LIFE], "what the client found")


if __name__ == "__main__":
    tap.run([life_of_a_key_on_pykmip])
