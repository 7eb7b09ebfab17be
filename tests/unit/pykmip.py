# SPDX-License-Identifier: LGPL-2.1-or-later
"""PyKMIP's server on loopback, and the certificates that it and its clients need."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

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
database_path={dir}/{database}
"""
# In memory where that can be, since PyKMIP syncs each table of its database
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def authority(folder):
    """A CA, ca.pem and ca.key, of one day"""
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=Test CA",
            "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem")


def sign(folder, request, out, extensions, days=1):
    """A certificate of that CA for a request; days below 0: it has expired"""
    with open(f"{folder}/{out}.ext", "w", encoding="utf-8") as file:
        file.write("\n".join(extensions) + "\n")
    openssl("x509", "-req", "-in", f"{folder}/{request}", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key",
            "-CAcreateserial", "-days", str(days), "-extfile", f"{folder}/{out}.ext", "-out", f"{folder}/{out}")


def certificates(folder, addresses=("127.0.0.1",)):
    """A CA, a server at these addresses and a client, all of one day"""
    authority(folder)
    names = "subjectAltName=" + ",".join(f"IP:{address}" for address in addresses)
    for name, extensions in (("server", ["extendedKeyUsage=serverAuth", names]),
                             ("client", ["extendedKeyUsage=clientAuth"])):
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr")
        sign(folder, f"{name}.csr", f"{name}.pem", extensions)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A PyKMIP server; those with the same database hold the same keys. It listens when this returns,
    for two that make one database at once would fail."""

    def __init__(self, folder, database="pykmip.db"):
        self.port = free_port()
        self.name = f"{folder}/{self.port}"
        with open(f"{self.name}.conf", "w", encoding="utf-8") as file:
            file.write(SETTINGS.format(dir=folder, port=self.port, suite=SUITE, database=database))
        self.start()

    def start(self):
        with open(f"{self.name}.output", "a", encoding="utf-8") as output:
            self.process = subprocess.Popen([sys.executable, "/usr/bin/pykmip-server", "-f", f"{self.name}.conf",
                                             "-l", f"{self.name}.log"], stdout=output, stderr=output,
                                            start_new_session=True)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise
                time.sleep(0.1)

    def stop(self):
        # With the process that it has forked, which would outlive it; once only
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


class Eavesdropper:
    """Ends the client's TLS, keeps what it says as heard, and passes it on to a server; what is answered
    goes through alter"""

    def __init__(self, folder, server, alter=bytes):
        self.server, self.alter, self.heard = server, alter, b""
        self.ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ours.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
        self.theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.theirs.maximum_version = ssl.TLSVersion.TLSv1_2
        self.theirs.load_verify_locations(f"{folder}/ca.pem")
        self.theirs.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(connection,), daemon=True))
            self.threads[-1].start()

    @staticmethod
    def message(stream):
        """One, by the length in its head"""
        message = stream.recv(8)
        while message and len(message) < 8 + int.from_bytes(message[4:8], "big"):
            message += stream.recv(8 + int.from_bytes(message[4:8], "big") - len(message))
        return message

    def serve(self, connection):
        with contextlib.suppress(OSError), self.ours.wrap_socket(connection, server_side=True) as front, \
                socket.create_connection(("127.0.0.1", self.server.port)) as plain, \
                self.theirs.wrap_socket(plain, server_hostname="127.0.0.1") as back:
            while request := self.message(front):
                self.heard += request
                back.sendall(request)
                front.sendall(self.alter(self.message(back)))

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)
        for thread in self.threads:
            thread.join(60)
