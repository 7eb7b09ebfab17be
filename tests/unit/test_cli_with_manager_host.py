#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmcryptctl, vmcrypt-manager, vmcryptd of a host and PyKMIP, all real, without the kernel module."""

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import ssl

from kmip.core import enums

import openapi
from managed_host import (PORT, SITE, VM, a_host_joins, agent, anna, at_key_server, away, back, finish, good,
                          host, move_vm, outcomes, path, refused, start, until, works, write)
from tap import ctl, equal, run


def ask(method, target, status, body=None):
    """A request as it is, its answer held against openapi.yaml."""
    context = ssl.create_default_context(cafile=path("ca.pem"))
    connection = http.client.HTTPSConnection("localhost", PORT, timeout=60, context=context)
    with open(path("session"), encoding="ascii") as file:
        headers = {"Authorization": "Bearer " + file.read().strip()}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, "/api/v1" + target, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    equal(answer.status, status, (method, target, text))
    openapi.check(method, target, answer.status, answer.getheader("Content-Type"), text)
    return json.loads(text) if text else None


def forgotten():
    """Ids of the keys that the host says it has forgotten."""
    lines = [json.loads(line) for line in works("event", "list", "--json").splitlines()]
    intents = {line["id"]: line for line in lines if line["phase"] == "intent"}
    return [intents[line["id"]]["object"] for line in lines
            if line["operation"] == "key.remove" and line["phase"] == "outcome" and line["result"] == "ok"
            ][SITE.get("forgotten before", 0):]


def bob(*words):
    return ctl("--manager", f"https://localhost:{PORT}", "--ca", path("ca.pem"), "--token-file", path("bob-session"),
               *words)


def the_first_disk_enables_its_host_for_who_may():
    write("bob", "bob's password\n")
    good("user", "create", "bob", "--password-file", path("bob"))
    good("role", "create", "maker", "System.View,System.Read,Cryptographer.EncryptNew,Cryptographer.AddDisk")
    good("permission", "create", "bob", "maker", "global")
    equal(bob("session", "create", "bob", "--password-file", path("bob")).returncode, 0)
    good("vm", "register", "first", "--cluster", "farm")
    with open(path("first"), "wb") as file:
        file.truncate(64 << 20)
    # Nor does the host by itself
    result = agent("disk", "create", path("first"), "--vm", "first", "--provider", "kms")
    assert result.returncode == 4 and "prepared" in result.stderr, result
    words = "disk", "create", path("first"), "--host", "kvm1", "--vm", "first"
    result = bob(*words)
    assert result.returncode == 4 and "Cryptographer.RegisterHost" in result.stderr, result
    equal(host()["mode"], "prepared")
    made = good(*words)
    equal((host()["mode"], made["vm"]), ("safe", "first"))
    enabled = outcomes("host.enable")
    equal([(event["user"], event["result"], event["data"]["policy"]) for event in enabled], [("anna", "ok", "onDemand")])
    # And then it takes no more than that
    with open(path("second"), "wb") as file:
        file.truncate(64 << 20)
    result = bob("disk", "create", path("second"), "--host", "kvm1", "--vm", "first")
    equal(result.returncode, 0, result.stderr)
    for name in "first", "second":
        os.unlink(path(name))
    until("the manager knows the disks", lambda: len(good("disk", "list")["disks"]) == 2)
    for disk in good("disk", "list")["disks"]:
        good("disk", "forget", disk["id"])
    for key in good("key", "list", "--vm", "first")["keys"]:
        good("key", "remove", "kms", key["key"])
    good("vm", "unregister", "first")
    SITE["forgotten before"] = len(forgotten())


def a_policy_enables_a_host_at_once():
    good("host", "token", "--out", path("token2"), "--cluster", "barn")
    write("conf2", "[Agent]\nBootWaitSec=1\n[TPM]\nTcti=device:/nonexistent\n")
    process = start("agent2", "vmcryptd", "--config", path("conf2"), "--state", path("state2"), "--socket",
                    path("sock2"), "--disks", path("disks"))
    until("the agent answers", lambda: ctl("--socket", path("sock2"), "status").returncode == 0)
    equal(ctl("--socket", path("sock2"), "host", "join", f"https://localhost:{PORT}", "--token-file", path("token2"),
              "--name", "kvm2").returncode, 0)
    until("the host is connected", lambda: good("host", "show", "kvm2")["connected"])
    equal(good("host", "show", "kvm2")["mode"], "prepared")
    good("cluster", "crypto-mode", "barn", "forceEnable")
    until("it is enabled", lambda: good("host", "show", "kvm2")["mode"] == "safe")
    good("host", "remove", "kvm2")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    good("cluster", "crypto-mode", "barn", "onDemand")


def make_key():
    with at_key_server() as client:
        key = client.create(enums.CryptographicAlgorithm.AES, 256, cryptographic_usage_mask=[
            enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT])
        client.activate(key)
    return key


def to_forget():
    return [(key["key"], bool(key["refused"])) for key in host()["keys_to_forget"]]


def a_key_is_added_for_a_vm():
    good("vm", "register", "web", "--id", VM, "--cluster", "farm")
    SITE["key"] = make_key()
    key = good("key", "add", "kms", SITE["key"], "web")
    equal((key["key"], key["vm"], key["state"]), (SITE["key"], VM, "active"))
    refused("already", "key", "add", "kms", SITE["key"], "web")
    refused("", "key", "add", "kms", "none", "web", status=3)
    # With its VM's next move it gets where it may be
    count = len(outcomes("key.push"))
    move_vm("farm")
    equal([(e["key"], e["vm"], e["result"]) for e in outcomes("key.push")[count:]], [(SITE["key"], VM, "ok")])
    assert [e for e in outcomes("key.push") if e["result"] == "ok"], outcomes("key.push")


def keys_go_with_their_vm():
    move_vm("barn")
    equal((forgotten(), to_forget()), ([SITE["key"]], []))
    equal([(e["key"], e["vm"], e["result"]) for e in outcomes("key.withdraw")], [(SITE["key"], VM, "ok")])


def who_is_away_forgets_when_it_is_back():
    move_vm("farm")
    away()
    move_vm("barn")
    equal((to_forget(), len(forgotten())), ([(SITE["key"], False)], 1))
    back()
    until("it has forgotten", lambda: to_forget() == [])
    equal(forgotten(), 2 * [SITE["key"]])


def a_host_that_is_moved_while_it_is_away_forgets_too():
    move_vm("farm")
    away()
    good("host", "move", "kvm1", "--cluster", "barn")
    equal((to_forget(), len(forgotten())), ([(SITE["key"], False)], 2))
    back()
    until("it has forgotten", lambda: to_forget() == [])
    equal(len(forgotten()), 3)
    good("host", "move", "kvm1", "--cluster", "farm")


def a_disk_that_the_host_knows_holds_its_key():
    with open(path("image"), "wb") as file:
        file.truncate(64 << 20)
    works("disk", "create", path("image"), "--vm", "web", "--provider", "kms")
    until("the manager knows the disk", lambda: good("disk", "list")["disks"])
    key = good("disk", "list")["disks"][0]["keys"][0]["key"]
    assert key != SITE["key"]
    move_vm("barn")
    equal(sorted(to_forget()), [(key, True)])
    assert path("image") in host()["keys_to_forget"][0]["refused"], host()
    shown = next(line for line in anna("host", "show", "kvm1").stdout.splitlines() if line.startswith("Keys to forget"))
    assert key in shown and path("image") in shown, shown
    assert any(path("image") in e["result"] for e in outcomes("key.withdraw") if e["key"] == key)
    # Without the disk it is but asked again
    with open(path("image"), "r+b") as file:
        file.write(bytes(16 << 20))
    away()
    back()
    until("it has forgotten", lambda: to_forget() == [])
    assert key in forgotten(), forgotten()
    move_vm("farm")


def a_host_has_a_default_provider_of_its_own():
    kms, = [provider["id"] for provider in good("provider", "list")["providers"]]
    good("provider", "default", "kms", "--host", "kvm1")
    defaults = {default["scope"]: default["provider"] for default in good("provider", "defaults")["defaults"]}
    equal(defaults.get("host:" + host()["id"]), kms)
    good("provider", "reset-default", "--host", "kvm1")
    assert "host:" + host()["id"] not in [d["scope"] for d in good("provider", "defaults")["defaults"]]
    refused("none", "provider", "default", "kms", "--host", "none")


def what_a_host_answers_is_as_described():
    """Through the interface itself; attaching needs the kernel module."""
    here = host()["id"]
    equal(ask("POST", f"/hosts/{here}/enable", 200, {})["mode"], "safe")
    with open(path("second"), "wb") as file:
        file.truncate(64 << 20)
    made = ask("POST", "/disks", 201, {"host": here, "vm": VM, "device": path("second"), "disk": "d", "key_bits": 256})
    equal((made["vm"], made["disk"], made["attached"]), ("web", "d", False))
    disk = "/disks/" + made["dek"]
    until("the manager knows it", lambda: made["dek"] in [row["id"] for row in good("disk", "list")["disks"]])
    equal(ask("GET", disk, 200)["host"], here)
    equal(ask("POST", disk + "/lock", 200, {"host": here})["locked"], True)
    equal(ask("POST", disk + "/unlock", 200, {"host": here})["locked"], False)
    ask("POST", disk + "/attach", 500, {"host": here, "device": path("second"), "name": "x"})
    provider, = [row["id"] for row in good("provider", "list")["providers"]]
    ask("PUT", f"/defaults/hosts/{here}", 200, {"provider": provider})
    ask("DELETE", f"/defaults/hosts/{here}", 204)
    with open(path("second"), "r+b") as file:
        file.write(bytes(16 << 20))


def a_disk_that_is_gone_is_forgotten():
    with open(path("old"), "wb") as file:
        file.truncate(64 << 20)
    works("disk", "create", path("old"), "--vm", "web", "--provider", "kms")

    def disks():
        return {disk["disk"]: disk for disk in good("disk", "list")["disks"]}
    until("the manager knows the disk", lambda: "old" in disks())
    disk = disks()["old"]
    key = disk["keys"][0]["key"]
    refused("is in use by disk", "key", "remove", "kms", key)
    refused("is there on " + path("old"), "disk", "forget", disk["id"])
    # While the host is away its storage goes
    away()
    os.unlink(path("old"))
    back()
    refused("is in use by disk", "key", "remove", "kms", key)
    refused("still has encrypted disks", "vm", "unregister", "web")
    good("disk", "forget", disk["id"])
    equal(outcomes("disk.forget")[-1]["result"], "ok")
    refused(disk["id"], "disk", "show", disk["id"])
    assert "old" not in works("disk", "list"), works("disk", "list")
    away()
    back()
    for left in list(disks().values()):
        good("disk", "forget", left["id"])
    good("key", "remove", "kms", key)
    equal(good("disk", "list")["disks"], [])


def a_key_is_removed_and_destroyed():
    away()
    refused("kvm1 is away", "key", "remove", "kms", SITE["key"], "--destroy")
    back()
    count = len(forgotten())
    good("key", "remove", "kms", SITE["key"], "--destroy")
    equal(forgotten()[count:], [SITE["key"]], "on the host")
    refused(SITE["key"], "key", "show", "kms", SITE["key"])
    with at_key_server() as client:
        try:
            client.get(SITE["key"])
            raise AssertionError("the key is there")
        except Exception as failure:  # whichever it is, PyKMIP has words for it
            assert "locate" in str(failure).lower() or "destroyed" in str(failure).lower(), failure
    refused(SITE["key"], "key", "remove", "kms", SITE["key"], "--destroy")


def tokens_go_with_their_cluster():
    good("cluster", "create", "short-lived")
    good("host", "token", "--out", path("token3"), "--cluster", "short-lived")
    equal(len(good("host", "tokens")["tokens"]), 1)
    good("cluster", "delete", "short-lived")
    equal(good("host", "tokens")["tokens"], [])


def slow_requests_leave_room_for_others():
    with socket.create_server(("127.0.0.1", 0)) as stalled, concurrent.futures.ThreadPoolExecutor(8) as pool:
        look = "server", "look", "127.0.0.1", "--port", str(stalled.getsockname()[1])
        calls = [pool.submit(anna, *look) for _ in range(8)]
        # Half of eight threads wait; more is refused at once
        refusals = [call.result() for call in concurrent.futures.as_completed(calls, timeout=60)][:4]
        for result in refusals:
            assert result.returncode == 1 and "wait for hosts" in result.stderr, result
        calls = [pool.submit(anna, *look) for _ in range(4)]
        good("cluster", "list")
        assert not all(call.done() for call in calls), "it has waited"


def a_host_is_disabled_and_removed():
    equal(good("host", "disable", "kvm1")["mode"], "pending-incapable")
    until("the host knows", lambda: json.loads(works("host", "show", "--json"))["manager"]["mode"] == "pending-incapable")
    refused("reboot", "host", "enable", "kvm1")
    good("host", "remove", "kvm1")
    refused("kvm1", "host", "show", "kvm1")
    # What nobody needs goes
    for key in good("key", "list", "--provider", "kms")["keys"]:
        good("key", "remove", "kms", key["key"])
    good("vm", "unregister", "web")
    good("provider", "reset-default")
    good("provider", "delete", "kms")
    good("cluster", "delete", "farm")
    until("the host knows", lambda: json.loads(works("host", "show", "--json")) == {"manager": None})


try:
    run([a_host_joins, the_first_disk_enables_its_host_for_who_may, a_policy_enables_a_host_at_once,
         a_key_is_added_for_a_vm, keys_go_with_their_vm, who_is_away_forgets_when_it_is_back,
         a_host_that_is_moved_while_it_is_away_forgets_too, a_disk_that_the_host_knows_holds_its_key,
         a_host_has_a_default_provider_of_its_own, what_a_host_answers_is_as_described,
         a_disk_that_is_gone_is_forgotten,
         a_key_is_removed_and_destroyed, tokens_go_with_their_cluster, slow_requests_leave_room_for_others,
         a_host_is_disabled_and_removed])
finally:
    finish()
