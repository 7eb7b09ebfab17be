# SPDX-License-Identifier: LGPL-2.1-or-later
"""Between a client and a server on loopback: counts the connections, and makes them
slow, silent or cut."""

import contextlib
import socket
import threading
import time


APPLICATION_DATA = 23


class Connection:
    """@dead: what comes is thrown away, without a word; @asked: that it was a question, and no alert of TLS"""

    def __init__(self, client, server):
        self.sockets = (client, server)
        self.dead = False
        self.asked = False

    def close(self):
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Relay:
    """@delay: seconds before each piece of an answer; @answers: pieces that a connection gives before it is cut,
    None: all of them; @silent: new connections are dead from the beginning"""

    def __init__(self, port):
        self.server = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = []
        self.delay = 0
        self.answers = None
        self.silent = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                connection = Connection(client, socket.create_connection(("127.0.0.1", self.server), timeout=60))
                connection.dead = self.silent
                self.connections.append(connection)
                for way in (0, 1):
                    threading.Thread(target=self.carry, args=(connection, way), daemon=True).start()

    def carry(self, connection, way):
        """@way: 0: questions, 1: answers"""
        source, to = connection.sockets[way], connection.sockets[1 - way]
        source.settimeout(None)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if way == 0 and connection.dead and data[0] == APPLICATION_DATA:
                    connection.asked = True
                if way == 1:
                    time.sleep(self.delay)
                    if self.answers is not None:
                        self.answers -= 1
                    if self.answers is not None and self.answers < 0:
                        break
                if not connection.dead:
                    to.sendall(data)
        if not connection.dead:
            connection.close()

    def hush(self):
        """As a server whose machine has lost its power"""
        self.silent = True
        for connection in self.connections:
            connection.dead = True

    def recover(self):
        self.silent = False

    def cut(self):
        for connection in self.connections:
            connection.close()

    def asked(self):
        """Connections on which something was asked in vain"""
        return sum(connection.asked for connection in self.connections)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for connection in self.connections:
            for one in connection.sockets:
                one.close()
