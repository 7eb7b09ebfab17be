# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two PyKMIP servers that hold the same keys, each behind a gate that can make it
unreachable, slow, nonsensical or expired; and the key server's administrator."""

import contextlib
import logging
import os
import select
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "unit"))
import pykmip  # noqa: E402  (beside the unit tests)

ADDRESS = "10.0.2.2"  # of the loopback out here, as QEMU's user network shows it to the machines
SLOW = 8  # seconds before each answer of a server that is slow


class Gate:
    """What a server looks like from the network. Modes:

    open      what it is
    down      nobody listens
    slow      it answers, each time after SLOW seconds
    stalled   it takes connections and says nothing
    garbage   it speaks TLS, and answers what is no KMIP
    expired   its certificate has expired
    """

    def __init__(self, folder, port):
        self.folder = folder
        self.server = port
        self.port = pykmip.free_port()
        self.mode = "down"
        self.listener = None
        self.connections = set()
        self.lock = threading.Lock()
        self.set("open")

    def set(self, mode):
        """From now on; connections that there are end"""
        with self.lock:
            self.mode = mode
            connections, self.connections = self.connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if mode == "down":
            self.close()
        elif not self.listener:
            self.listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        if self.listener:
            # Closing alone would not wake who accepts
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # Together, so that set() ends whatever has the mode before
            with self.lock:
                mode = self.mode
                self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection, mode), daemon=True).start()

    def serve(self, connection, mode):
        with connection, contextlib.suppress(OSError):
            if mode in ("open", "slow"):
                with socket.create_connection(("127.0.0.1", self.server), timeout=60) as server:
                    self.relay(connection, server, SLOW if mode == "slow" else 0)
            elif mode == "stalled":
                while connection.recv(4096):
                    pass
            else:
                self.pretend(connection, mode)
        with self.lock:
            self.connections.discard(connection)

    @staticmethod
    def relay(connection, server, delay):
        while True:
            for source in select.select([connection, server], [], [])[0]:
                data = source.recv(16384)
                if not data:
                    return
                if source is server and delay:
                    time.sleep(delay)
                (server if source is connection else connection).sendall(data)

    def pretend(self, connection, mode):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        name = "expired.pem" if mode == "expired" else "server.pem"
        context.load_cert_chain(os.path.join(self.folder, name), os.path.join(self.folder, "server.key"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with context.wrap_socket(connection, server_side=True) as tls:
            while tls.recv(4096):
                tls.sendall(b"\x42\x00\x7b\x01\xff\xff\xff\xf8" + os.urandom(512))


class KeyServer:
    """The site's key server: a cluster of two, and who administers it."""

    def __init__(self):
        self.memory = tempfile.TemporaryDirectory(dir=pykmip.MEMORY)
        self.folder = self.memory.name
        pykmip.certificates(self.folder, (ADDRESS, "127.0.0.1"))
        pykmip.sign(self.folder, "server.csr", "expired.pem",
                    ["extendedKeyUsage=serverAuth", f"subjectAltName=IP:{ADDRESS}"], days=-1)
        # The second one finds the database that the first one has made
        self.servers = [pykmip.Server(self.folder), pykmip.Server(self.folder)]
        self.gates = [Gate(self.folder, server.port) for server in self.servers]

    def set(self, mode):
        for gate in self.gates:
            gate.set(mode)

    def ca(self):
        with open(os.path.join(self.folder, "ca.pem"), encoding="ascii") as file:
            return file.read()

    def sign_client(self, request):
        """The certificate of a client of the key server, for its request (PEM)"""
        with open(os.path.join(self.folder, "manager.csr"), "w", encoding="ascii") as file:
            file.write(request)
        pykmip.sign(self.folder, "manager.csr", "manager.pem", ["extendedKeyUsage=clientAuth"])
        with open(os.path.join(self.folder, "manager.pem"), encoding="ascii") as file:
            return file.read()

    def administer(self, name):
        """A connection with the rights of that client. PyKMIP lets a key's owner alone change it."""
        logging.getLogger("kmip").addHandler(logging.NullHandler())  # it misses files that nobody needs
        from kmip.pie.client import ProxyKmipClient
        pykmip.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                       "-keyout", f"{self.folder}/admin.key", "-out", f"{self.folder}/admin.csr")
        pykmip.sign(self.folder, "admin.csr", "admin.pem", ["extendedKeyUsage=clientAuth"])
        return ProxyKmipClient(hostname="127.0.0.1", port=self.servers[0].port, cert=f"{self.folder}/admin.pem",
                               key=f"{self.folder}/admin.key", ca=f"{self.folder}/ca.pem",
                               ssl_version="PROTOCOL_TLSv1_2")

    def state(self, name, key):
        """Of a key, by its name in KMIP"""
        with self.administer(name) as client:
            _, attributes = client.get_attributes(key, ["State"])
            return attributes[0].attribute_value.value.name

    def make(self, name, active):
        """A key that vmcrypt did not make. Return: its name in KMIP"""
        from kmip.core import enums
        with self.administer(name) as client:
            key = client.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=[
                enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT])
            if active:
                client.activate(key)
        return key

    def deactivate(self, name, key):
        from kmip.core.enums import RevocationReasonCode
        with self.administer(name) as client:
            client.revoke(RevocationReasonCode.CESSATION_OF_OPERATION, key)

    def destroy(self, name, key):
        with self.administer(name) as client:
            client.destroy(key)

    def material(self, name):
        """All keys as they are: what no log and no file may hold"""
        with self.administer(name) as client:
            return [client.get(key).value for key in client.locate()]

    def stop(self):
        for gate in self.gates:
            gate.set("down")
        for server in self.servers:
            server.stop()
        self.memory.cleanup()
