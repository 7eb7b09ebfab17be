# SPDX-License-Identifier: LGPL-2.1-or-later
"""Before PyKMIP: keeps what a client says inside of TLS, and knows Add Attribute, which
PyKMIP does not."""

import contextlib
import socket
import ssl
import struct
import threading

ADD_ATTRIBUTE, CREATE = 0x0d, 0x01
INTEGER, ENUMERATION, TEXT, BYTES, STRUCTURE = 2, 5, 7, 8, 1
TAGS = {0x420008: "Attribute", 0x42000a: "AttributeName", 0x42000b: "AttributeValue", 0x42000f: "BatchItem",
        0x42005c: "Operation", 0x420079: "RequestPayload", 0x420091: "TemplateAttribute", 0x420093: "BatchItemID",
        0x420094: "UniqueIdentifier", 0x420057: "ObjectType", 0x420077: "RequestHeader"}


def parse(data):
    """Items as (name or tag, value); the value of a structure is such a list"""
    found = []
    while data:
        tag, size = struct.unpack(">II", data[:8])
        kind, value = tag & 0xff, data[8:8 + size]
        if kind == STRUCTURE:
            value = parse(value)
        elif kind in (INTEGER, ENUMERATION):
            value = struct.unpack(">I", value)[0]
        elif kind == TEXT:
            value = value.decode()
        found.append((TAGS.get(tag >> 8, tag >> 8), value))
        data = data[8 + (size + 7) // 8 * 8:]
    return found


def get(items, name):
    return next((value for key, value in items if key == name), None)


def every(items, name):
    return [value for key, value in items if key == name]


def attributes(items):
    """Names and values"""
    return [(get(one, "AttributeName"), get(one, "AttributeValue")) for one in every(items, "Attribute")]


def item(tag, kind, value):
    body = struct.pack(">I", value) if kind in (INTEGER, ENUMERATION) else value
    return struct.pack(">II", tag << 8 | kind, len(body)) + body + bytes(-len(body) % 8)


def added(message):
    """That all attributes were added"""
    header = item(0x42007a, STRUCTURE, item(0x420069, STRUCTURE, item(0x42006a, INTEGER, 1) + item(0x42006b, INTEGER, 4)) +
                  item(0x42000d, INTEGER, len(every(message, "BatchItem"))))
    batch = b""
    for one in every(message, "BatchItem"):
        number = get(one, "BatchItemID")
        key = get(get(one, "RequestPayload"), "UniqueIdentifier")
        batch += item(0x42000f, STRUCTURE, item(0x42005c, ENUMERATION, ADD_ATTRIBUTE) +
                      (item(0x420093, BYTES, number) if number else b"") + item(0x42007f, ENUMERATION, 0) +
                      item(0x42007c, STRUCTURE, item(0x420094, TEXT, key.encode())))
    return item(0x42007b, STRUCTURE, header + batch)


def receive(stream):
    """A message as bytes; None: the end"""
    header = stream.read(8)
    if len(header) < 8:
        return None
    return header + stream.read(struct.unpack(">I", header[4:])[0])


class Proxy:
    """@connect: makes a connection to PyKMIP"""

    def __init__(self, folder, connect):
        self.connect = connect
        self.requests = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
        self.context.load_verify_locations(f"{folder}/ca.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), self.context.wrap_socket(client, server_side=True) as tls, \
                self.connect() as server:
            questions, answers = tls.makefile("rb"), server.makefile("rb")
            while message := receive(questions):
                found = parse(message)[0][1]
                self.requests.append(found)
                if get(every(found, "BatchItem")[0], "Operation") == ADD_ATTRIBUTE:
                    tls.sendall(added(found))
                else:
                    server.sendall(message)
                    tls.sendall(receive(answers) or b"")

    def payloads(self, operation):
        """Of each request for an operation, batch after batch"""
        return [[get(one, "RequestPayload") for one in every(request, "BatchItem")] for request in self.requests
                if get(every(request, "BatchItem")[0], "Operation") == operation]

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
