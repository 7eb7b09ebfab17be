#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl against servers that are no good manager, and against one that records."""

import http.server
import json
import os
import ssl
import stat
import subprocess
import tempfile
import threading
import time

from tap import ctl, equal, run

FOLDER = tempfile.TemporaryDirectory(prefix="vmcrypt-unit-")
TOKEN = os.path.join(FOLDER.name, "token")
PASSWORD = os.path.join(FOLDER.name, "password")


def certificate(name, subject):
    """A key and a certificate that it has signed itself."""
    path = os.path.join(FOLDER.name, name)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", path + ".key", "-out", path + ".pem", "-days", "2", "-subj", f"/CN={subject}",
                    "-addext", f"subjectAltName=DNS:{subject}"], check=True, stderr=subprocess.DEVNULL)
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as it was told, and keeps what was asked."""

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization"),
                                  self.rfile.read(size).decode()))
        status, body, headers = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client has seen enough

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server:
    """One of them, on a port of its own."""

    def __init__(self, path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path + ".pem", path + ".key")
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.http.handle_error = lambda *_: None  # who refuses our certificate hangs up
        self.http.asked, self.http.answers = [], []
        self.url = f"https://localhost:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def ctl(self, *words, answer=b"{}", status=200, headers=None, ca=None, environment=None):
        self.http.asked.clear()
        self.http.answers[:] = [(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
                                 headers or {})]
        return ctl("--manager", self.url, "--ca", ca or GOOD + ".pem", "--token-file", TOKEN, *words,
                   env={**os.environ, **(environment or {})})


GOOD = certificate("good", "localhost")
OTHER = certificate("other", "localhost")
FOREIGN = certificate("foreign", "elsewhere.test")
SERVER = Server(GOOD)


def without_a_session_it_says_how_to_log_in():
    result = SERVER.ctl("user", "list")
    equal(result.returncode, 4)
    assert "session create" in result.stderr, result.stderr
    equal(SERVER.http.asked, [])


def log_in_keeps_the_token_for_its_user_alone():
    with open(PASSWORD, "w", encoding="utf-8") as file:
        file.write("a pass word\n")
    result = SERVER.ctl("session", "create", "anna", "--password-file", PASSWORD,
                        answer={"token": "0123456789abcdef", "user": "anna", "expires": "2026-01-01T00:00:00Z"})
    equal((result.returncode, result.stderr), (0, ""))
    assert "anna" in result.stdout and "0123456789abcdef" not in result.stdout, result.stdout
    equal(stat.S_IMODE(os.stat(TOKEN).st_mode), 0o600)
    method, path, token, body = SERVER.http.asked[0]
    equal((method, path, token), ("POST", "/api/v1/session", None))
    equal(json.loads(body), {"name": "anna", "password": "a pass word"})


def the_token_goes_with_what_follows():
    result = SERVER.ctl("--json", "user", "list", answer={"users": [{"name": "anna"}]})
    equal((result.returncode, result.stderr), (0, ""))
    equal(json.loads(result.stdout), {"users": [{"name": "anna"}]})
    equal(SERVER.http.asked, [("GET", "/api/v1/users", "Bearer 0123456789abcdef", "")])


def lists_are_safe_to_print():
    result = SERVER.ctl("user", "list", answer={"users": [{"name": "a\x1b[2J", "disabled": False}]})
    equal(result.returncode, 0)
    assert "\x1b" not in result.stdout and "a\\u001b[2J" in result.stdout, result.stdout


def ends_of_certificates_are_seen():
    now = time.time()
    hosts = [{"name": name, "certificate_end": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + days * 86400))}
             for name, days in (("fine", 20), ("late", 10), ("lost", -1))]
    lines = SERVER.ctl("host", "list", answer={"hosts": hosts}).stdout.splitlines()
    for line, end in zip(lines[1:], ("Z", "(ends soon)", "(has ended)")):
        assert line.rstrip().endswith(end), lines
    result = SERVER.ctl("status", answer={"warnings": ["The certificate of host late"]})
    assert "The certificate of host late" in result.stdout, result


def a_refusal_is_told_in_the_manager_s_words():
    for number, http_status in ((4, 403), (3, 424), (2, 400), (1, 409), (4, 401)):
        error = {"error": {"status": number, "errno": "EACCES", "reason": None, "text": "Not for you"}}
        result = SERVER.ctl("user", "delete", "bob", answer=error, status=http_status)
        equal((result.returncode, result.stderr), (number, "vmcryptctl: Not for you\n"))


def what_is_no_manager_is_told_apart():
    for answer, status in ((b"<html>", 200), (b"[]", 200), (b"", 500), (b"<html>", 404), (b'{"error":1}', 403),
                           (b'{"a":' * 100, 200), (b"{" + b" " * (32 << 20) + b"}", 200)):
        result = SERVER.ctl("user", "list", answer=answer, status=status)
        equal(result.returncode, 1, answer[:20])
        assert result.stderr.startswith("vmcryptctl: "), result.stderr


def a_redirection_is_not_followed():
    elsewhere = Server(GOOD)
    result = SERVER.ctl("user", "list", status=302, headers={"Location": elsewhere.url + "/api/v1/users"})
    equal(result.returncode, 1)
    equal(elsewhere.http.asked, [])


def no_proxy_sees_the_token():
    proxy = Server(GOOD)
    result = SERVER.ctl("user", "list", answer={"users": []},
                        environment={"https_proxy": proxy.url, "HTTPS_PROXY": proxy.url, "ALL_PROXY": proxy.url})
    equal((result.returncode, result.stderr), (0, ""))


def another_certificate_is_refused():
    for server in (Server(OTHER), Server(FOREIGN)):
        result = server.ctl("user", "list")
        equal(result.returncode, 1)
        assert "--ca" in result.stderr, result.stderr
        equal(server.http.asked, [])
    server = Server(FOREIGN)
    result = server.ctl("user", "list", ca=FOREIGN + ".pem")
    equal(result.returncode, 1, "a certificate of another name")
    equal(server.http.asked, [])


def names_are_no_paths():
    SERVER.ctl("user", "delete", "../hosts")
    SERVER.ctl("user", "delete", "..")
    equal([asked[:2] for asked in SERVER.http.asked], [("DELETE", "/api/v1/users/..")])


def an_event(seq):
    """As long as one can be."""
    return {"seq": seq, "user": "anna", "data": {"text": "x" * 16000}}


def pages_of_large_events_are_put_together():
    answers = [{"events": [an_event(seq) for seq in range(first, last)], "last": 1005}
               for first, last in ((1, 1001), (1001, 1006))]
    SERVER.http.asked.clear()
    SERVER.http.answers[:] = [(200, json.dumps(answer).encode(), {}) for answer in answers]
    result = ctl("--manager", SERVER.url, "--ca", GOOD + ".pem", "--token-file", TOKEN, "--json", "event", "list",
                 "--limit", "0")
    equal((result.returncode, result.stderr), (0, ""))
    equal([event["seq"] for event in json.loads(result.stdout)["events"]], list(range(1, 1006)))
    equal([asked[1] for asked in SERVER.http.asked],
          ["/api/v1/events?limit=1000&since=0", "/api/v1/events?limit=1000&since=1000"])


def events_that_lead_nowhere_are_no_answer():
    circle = {"events": [an_event(7)] * 1000, "last": 7}
    for words, answer in ((("--since", "7", "--limit", "0"), circle), ((), {"events": [{"seq": 1}] * 101, "last": 1}),
                          ((), {"rows": []}), (("--since", "0"), {"events": [{}], "last": 1})):
        result = SERVER.ctl("event", "list", *words, answer=answer)
        equal(result.returncode, 1, words)
        assert "does not answer with events" in result.stderr, result.stderr
        equal(len(SERVER.http.asked), 1, words)


def nobody_there_is_told():
    result = ctl("--manager", "https://127.0.0.1:1", "--token-file", TOKEN, "user", "list")
    equal(result.returncode, 1)
    assert "Cannot reach the manager" in result.stderr, result.stderr


run([without_a_session_it_says_how_to_log_in, log_in_keeps_the_token_for_its_user_alone,
     the_token_goes_with_what_follows, lists_are_safe_to_print, ends_of_certificates_are_seen,
     a_refusal_is_told_in_the_manager_s_words,
     what_is_no_manager_is_told_apart, a_redirection_is_not_followed, no_proxy_sees_the_token,
     another_certificate_is_refused, names_are_no_paths, pages_of_large_events_are_put_together,
     events_that_lead_nowhere_are_no_answer, nobody_there_is_told])
