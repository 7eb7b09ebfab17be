#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Native providers of a manager on a host, and why a host's keys cannot be had: all of it real."""

import contextlib
import json
import os
import sqlite3

from kmip.core import enums

import pykmip
from managed_host import (SITE, VM, a_host_joins, agent, anna, at_key_server, away, back, end, finish, good,
                          host, move_vm, outcomes, path, refused, restart_agent, serve_again, start_agent,
                          until, works, write)
from tap import ctl, equal, run

REASONS = {"KeyStateMissingInCache", "KeyStateClusterInvalid", "KeyStateClusterUnreachable", "KeyStateMissingInKMS",
           "KeyStateNotActiveOrEnabled", "KeyStateManagedByTrustAuthority", "KeyStateManagedByNKP",
           "NoPermissionToAccessKeyProvider", "WrappingKeyMissingInKMS", "WrappingKeyNotActiveOrEnabled"}
SEEN = set()


def image(name):
    with open(path(name), "wb") as file:
        file.truncate(64 << 20)
    return path(name)


def export(name):
    """Needs the disk's key, and no kernel module."""
    out = path(name + ".dek")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(out)
    return agent("disk", "export-key", path(name), "--out", out)


def opens(name):
    equal(export(name).returncode, 0, export(name).stderr)
    equal(os.path.getsize(path(name + ".dek")), 64, name)


def lacks(name, reason):
    """The disk's key cannot be had: the exit status, and the reason by its name."""
    result = export(name)
    equal(result.returncode, 3, (name, reason, result.stderr))
    assert f"({reason})" in result.stderr, (name, reason, result.stderr)
    assert not os.path.exists(path(name + ".dek"))
    SEEN.add(reason)


def providers():
    return [provider["name"] for provider in json.loads(works("provider", "list", "--json"))["providers"]]


def native():
    return [(p["provider_name"], p["sealed"], p["refused"]) for p in host()["native_providers"]]


def a_native_provider_is_not_used_before_its_backup():
    refused("", "provider", "create", "nat", "--type", "native", "--require-tpm", "--allow-unsealed", status=2)
    good("provider", "create", "nat", "--type", "native", "--allow-unsealed")
    good("provider", "default", "nat", "--host", "kvm1")
    result = agent("disk", "create", image("inner"), "--vm", "web", "--provider", "nat")
    assert result.returncode and "nat" in result.stderr, result
    equal((native(), "nat" in providers()), ([], False))
    status = good("provider", "status", "nat")
    equal(status["state"], "gray")
    assert any("not backed up" in warning for warning in status["warnings"]), status
    write("word", "correct horse\n")
    good("provider", "backup", "nat", "--out", path("nat.p12"), "--password-file", path("word"))
    until("the host has it", lambda: "nat" in providers())
    works("disk", "create", path("inner"), "--vm", "web", "--provider", "nat")
    opens("inner")


def where_a_native_provider_lies_unsealed_is_said():
    equal(native(), [("nat", False, None)])
    shown = next(line for line in anna("host", "show", "kvm1").stdout.splitlines()
                 if line.startswith("Native providers"))
    assert "nat (UNSEALED" in shown, shown
    status = good("provider", "status", "nat")
    equal((status["state"], [h["ok"] for h in status["hosts"]]), ("yellow", [True]))
    assert any("kvm1" in warning and "not sealed" in warning for warning in status["warnings"]), status
    assert any("nat is not sealed" in line for line in works("status").splitlines()), works("status")


def a_native_provider_works_while_the_manager_is_down():
    end(SITE["manager"])
    until("the host sees it", lambda: not json.loads(works("host", "show", "--json"))["manager"]["connected"])
    works("disk", "create", image("alone"), "--vm", "web", "--provider", "nat")
    opens("alone")
    works("provider", "check", "nat")
    restart_agent()
    opens("inner")
    opens("alone")
    serve_again()
    nat = good("provider", "show", "nat")["id"]
    until("the manager knows both disks", lambda: [key["provider"] for disk in good("disk", "list")["disks"]
                                                   for key in disk["keys"]].count(nat) == 2)


def a_native_provider_goes_with_its_disks():
    good("provider", "reset-default", "--host", "kvm1")
    equal(native(), [("nat", False, None)], "its VM's disks use it")
    move_vm("barn")
    equal((native(), "nat" in providers()), ([], False))
    equal([e["result"] for e in outcomes("provider.remove")], ["ok"])
    for name in os.listdir(path("state", "providers")):
        with open(path("state", "providers", name), "rb") as file:
            assert b"kdk" not in file.read(), name
    lacks("inner", "KeyStateManagedByNKP")
    move_vm("farm")
    equal(native(), [("nat", False, None)])
    opens("inner")


def a_native_provider_comes_back_from_its_backup():
    write("wrong", "wrong horse\n")
    with open(path("nat.p12"), "rb") as file:
        backup = bytearray(file.read())
    backup[len(backup) // 2] ^= 1
    with open(path("damaged.p12"), "wb") as file:
        file.write(backup)
    before = good("provider", "list"), good("provider", "defaults")
    refused("password", "provider", "restore", path("nat.p12"), "--password-file", path("wrong"))
    refused("", "provider", "restore", path("damaged.p12"), "--password-file", path("word"))
    refused("", "provider", "restore", path("wrong"), "--password-file", path("word"))
    equal(good("provider", "restore", path("nat.p12"), "--dry-run", "--password-file", path("word"))["state"], "same")
    equal((good("provider", "list"), good("provider", "defaults")), before)


def standard(name, *words):
    """A provider at the key server, which the host knows."""
    good("provider", "create", name, "--type", "standard", *words)
    good("certificate", "set", name, "upload", "--file", path("kmip", "client.pem"),
         "--key-file", path("kmip", "client.key"))
    good("server", "add", name, "k", "127.0.0.1", "--port", SITE["kmip"].port, "--legacy", "--server-ca",
         path("kmip", "ca.pem"))
    until("the host knows the provider", lambda: name in providers())


def make_wrapping_key():
    with at_key_server() as client:
        key = client.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=[
            enums.CryptographicUsageMask.WRAP_KEY, enums.CryptographicUsageMask.UNWRAP_KEY])
        client.activate(key)
    return key


def make_disk(name, provider):
    """Returns the id of its key."""
    works("disk", "create", image(name), "--vm", "web", "--provider", provider)
    opens(name)
    return json.loads(works("disk", "show", path(name), "--json"))["keys"][0].split("/", 1)[1]


def spoil(key, destroy):
    with at_key_server() as client:
        client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, key)
        if destroy:
            client.destroy(key)


def a_foreign_disk():
    """Of a native provider of another host, which no manager knows. Returns the provider's UUID."""
    other = start_agent("other", "other-state", "other-sock")
    try:
        def there(*words):
            result = ctl("--socket", path("other-sock"), *words)
            equal(result.returncode, 0, (words, result.stderr))
            return result.stdout
        until("it answers", lambda: os.path.exists(path("other-sock")) and
              ctl("--socket", path("other-sock"), "status").returncode == 0)
        there("provider", "create", "native", "own", "--allow-unsealed")
        there("provider", "backup", "own", "--out", path("own.p12"), "--password-file", path("word"))
        there("disk", "create", image("foreign"), "--vm", "web")
        return json.loads(there("provider", "show", "own", "--json"))["uuid"]
    finally:
        end(other)


def play(trusted, lost):
    """A Trust Authority's provider, which nothing here makes yet, and a manager that has lost one of its own."""
    document = {"id": trusted, "name": "ta", "type": "trusted", "created": "2026-01-01T00:00:00Z", "servers": [],
                "certificate": None, "probe_key": None, "wrapping_key": None}
    end(SITE["manager"])
    with contextlib.closing(sqlite3.connect(path("manager", "manager.db"))) as database, database:
        database.execute("INSERT INTO document(kind, id, body, name) VALUES('provider', ?, ?, 'ta')",
                         (trusted, json.dumps(document)))
        database.execute("DELETE FROM document WHERE kind = 'provider' AND name = ?", (lost,))
    serve_again()


def each_reason_has_its_name():
    foreign = a_foreign_disk()
    wrapping = make_wrapping_key(), make_wrapping_key()
    for name, key in zip(("wrap1", "wrap2"), wrapping):
        standard(name, "--wrapping-key", key)
    off, gone = make_disk("off", "kms"), make_disk("gone", "kms")
    for name, provider in ("fine", "kms"), ("wrapped1", "wrap1"), ("wrapped2", "wrap2"):
        make_disk(name, provider)
    for key, destroy in (off, False), (gone, True), (wrapping[0], False), (wrapping[1], True):
        spoil(key, destroy)
    # PyKMIP gives a key to no certificate but the one of who has made it
    pykmip.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=somebody",
                   "-keyout", path("kmip", "else.key"), "-out", path("kmip", "else.csr"))
    pykmip.sign(path("kmip"), "else.csr", "else.pem", ["extendedKeyUsage=clientAuth"])
    good("certificate", "set", "kms", "upload", "--file", path("kmip", "else.pem"), "--key-file",
         path("kmip", "else.key"))
    restart_agent()
    until("the host is connected", lambda: host()["connected"])
    lacks("fine", "NoPermissionToAccessKeyProvider")
    lacks("wrapped1", "WrappingKeyNotActiveOrEnabled")
    lacks("wrapped2", "WrappingKeyMissingInKMS")
    lacks("foreign", "KeyStateMissingInCache")
    SITE["kmip"].stop()
    good("certificate", "set", "kms", "upload", "--file", path("kmip", "client.pem"), "--key-file",
         path("kmip", "client.key"))
    lacks("fine", "KeyStateClusterUnreachable")
    SITE["kmip"].start()
    until("it comes back with its key server", lambda: export("fine").returncode == 0)
    lacks("off", "KeyStateNotActiveOrEnabled")
    lacks("gone", "KeyStateMissingInKMS")
    away()
    until("the host sees it", lambda: not json.loads(works("host", "show", "--json"))["manager"]["connected"])
    opens("fine")
    lacks("off", "KeyStateMissingInCache")
    back()
    play(foreign, "wrap1")
    lacks("foreign", "KeyStateManagedByTrustAuthority")
    lacks("wrapped1", "KeyStateClusterInvalid")
    equal(SEEN, REASONS)


def a_host_with_encryption_enabled():
    a_host_joins()
    good("host", "enable", "kvm1")
    good("vm", "register", "web", "--id", VM, "--cluster", "farm")


def who_is_disabled_forgets_it():
    equal(native(), [("nat", False, None)])
    equal(good("host", "disable", "kvm1")["mode"], "pending-incapable")
    # No disk is attached that it would be kept for
    until("the host has forgotten it", lambda: "nat" not in providers() and native() == [])


try:
    run([a_host_with_encryption_enabled, a_native_provider_is_not_used_before_its_backup,
         where_a_native_provider_lies_unsealed_is_said, a_native_provider_works_while_the_manager_is_down,
         a_native_provider_goes_with_its_disks, a_native_provider_comes_back_from_its_backup,
         each_reason_has_its_name, who_is_disabled_forgets_it])
finally:
    finish()
