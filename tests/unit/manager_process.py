# SPDX-License-Identifier: LGPL-2.1-or-later
"""A vmcrypt-manager of the tests' own, asked over HTTPS."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile

from openapi import check
from tap import BUILD, equal

MANAGER = os.path.join(BUILD, "vmcrypt-manager")
FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-manager-")
DIR = os.path.join(FOLDER.name, "manager")
ADMIN, PASSWORD = "root", "Correct-horse-1"
STATE = {}


def path(name):
    return os.path.join(FOLDER.name, name)


def init(directory=DIR):
    with open(path("password"), "w", encoding="ascii") as file:
        file.write(PASSWORD + "\n")
    return subprocess.run([MANAGER, "init", "--dir", directory, "--name", "localhost,127.0.0.1",
                           "--admin", ADMIN, "--password-file", path("password"), "--key-file"],
                          capture_output=True, text=True, timeout=60, check=False)


class Manager:
    """One run of it."""

    def __init__(self, directory=DIR):
        notify = path("notify")
        if os.path.exists(notify):
            os.unlink(notify)
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.bind(notify)
        ready.settimeout(30)
        self.log = open(path("log"), "a+", encoding="utf-8")
        self.process = subprocess.Popen(
            [MANAGER, "serve", "--dir", directory, "--listen", "127.0.0.1", "--port", "0"],
            stderr=self.log, env={**os.environ, "NOTIFY_SOCKET": notify})
        while "READY=1" not in ready.recv(4096).decode():
            pass
        ready.close()
        self.log.seek(0)
        self.port = int(re.findall(r"https on port (\d+)", self.log.read())[-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(timeout=30), 0, "exit status")
        self.log.close()


def trusting(certificate=None):
    """TLS that trusts the manager's authority alone, and checks the name."""
    context = ssl.create_default_context(cadata=STATE["ca"])
    if certificate:
        context.load_cert_chain(certificate)
    return context


def ask(method, target, body=None, token="admin", certificate=None):
    """Status and answer; token: of STATE."""
    c = http.client.HTTPSConnection("127.0.0.1", STATE["manager"].port, timeout=30,
                                    context=trusting(certificate))
    headers = {"Authorization": "Bearer " + STATE[token]} if token else {}
    c.request(method, "/api/v1" + target, None if body is None else json.dumps(body), headers)
    answer = c.getresponse()
    text = answer.read().decode()
    kind = answer.getheader("Content-Type")
    equal(answer.getheader("Cache-Control"), "no-store", "caching")
    c.close()
    check(method, target, answer.status, kind, text)
    return answer.status, json.loads(text) if text and kind == "application/json" else text


def log_in(name, password, token):
    status, answer = ask("POST", "/session", {"name": name, "password": password}, token=None)
    equal(status, 201, answer)
    STATE[token] = answer["token"]


def refused(status, answer, wanted):
    equal(status, wanted, answer)
    assert answer["error"]["text"], "no words for it"
