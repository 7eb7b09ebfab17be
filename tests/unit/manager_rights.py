# SPDX-License-Identifier: LGPL-2.1-or-later
"""What test_vmcrypt_manager.py tries of rights, and of what the record is told."""

import json
import os
import sqlite3
import uuid

from manager_process import ADMIN, DIR, PASSWORD, STATE, Manager, ask, log_in, refused
from tap import equal


def nobody_rises():
    """A VM of a cluster where one may do little is not moved to one where one may do all"""
    here, there = (ask("POST", "/clusters", {"name": name})[1]["id"] for name in ("here", "there"))
    vm = ask("POST", "/vms", {"name": "moved", "cluster": here})[1]["id"]
    mover = ["System.View", "Cryptographer.RegisterVM", "Cryptographer.Migrate"]
    equal(ask("POST", "/roles", {"name": "mover", "privileges": mover})[0], 201, "role")
    equal(ask("POST", "/users", {"name": "mona", "password": "mona-password"})[0], 201, "user")
    for role, on in ("mover", here), ("Administrator", there):
        equal(ask("POST", "/permissions", {"user": "mona", "role": role, "object": "cluster:" + on})[0], 201, role)
    log_in("mona", "mona-password", "mona")
    status, answer = ask("PATCH", "/vms/" + vm, {"cluster": there}, token="mona")
    refused(status, answer, 403)
    assert "where it is" in answer["error"]["text"], answer
    equal(ask("GET", "/vms/" + vm)[1]["cluster"], here, "stayed")
    ask("POST", "/permissions", {"user": "mona", "role": "mover", "object": "cluster:" + there})
    equal(ask("PATCH", "/vms/" + vm, {"cluster": there}, token="mona")[0], 200, "with no more rights there")
    # A restriction that does not propagate is none below
    ask("POST", "/permissions", {"user": "mona", "role": "Administrator", "object": "cluster:" + there})
    limit = {"user": "mona", "role": "NoCryptoAdmin", "object": "cluster:" + here}
    ask("POST", "/permissions", {**limit, "role": "Administrator", "object": "global"})
    ask("POST", "/permissions", limit)
    refused(*ask("POST", "/permissions", {**limit, "propagate": False}, token="mona"), 403)
    equal(ask("DELETE", "/users/mona")[0], 204, "user")
    for target in "/roles/mover", "/vms/" + vm, "/clusters/" + here, "/clusters/" + there:
        equal(ask("DELETE", target)[0], 204, target)


def refusals_are_bounded():
    for _ in range(80):
        refused(*ask("GET", "/defaults", token="eve"), 403)
    rows = ask("GET", "/events?operation=GET%20/defaults&limit=1000")[1]["events"]
    assert 0 < len(rows) < 80, f"{len(rows)} refusals of one user"


def strangers_leave_refusals_alone():
    """Who may do nothing leaves no intents, and no more refusals than others"""
    equal(ask("POST", "/users", {"name": "mallory", "password": "mallory-password"})[0], 201, "user")
    log_in("mallory", "mallory-password", "mallory")
    cluster = ask("POST", "/clusters", {"name": "shut"})[1]["id"]
    vm = ask("POST", "/vms", {"name": "shut", "cluster": cluster})[1]["id"]
    limit = {"user": "mallory", "role": "Administrator", "object": "global"}
    disk = {"host": str(uuid.uuid4()), "vm": vm, "device": "/dev/vdb"}
    for _ in range(8):
        for method, target, body in (
                ("POST", "/vms", {"name": "x", "cluster": cluster}), ("PATCH", "/vms/" + vm, {"cluster": cluster}),
                ("POST", "/permissions", limit), ("POST", "/hosts/tokens", {}), ("POST", "/disks", disk),
                ("POST", f"/disks/{vm}/lock", {"host": disk["host"]}), ("DELETE", "/permissions/" + vm, None),
                ("PATCH", "/clusters/" + cluster, {"crypto_mode": "forceEnable"}),
                ("PUT", "/session/password", {"password": "wrong", "new_password": "mallory-password-2"})):
            status, answer = ask(method, target, body, token="mallory")
            assert status in (403, 429), (method, target, answer)
    rows = [r for r in ask("GET", "/events?user=mallory&limit=1000")[1]["events"] if r["operation"] != "session.new"]
    equal({(r["phase"], r["result"]) for r in rows}, {("note", "refused")}, "rows")
    assert len(rows) <= 60, f"{len(rows)} rows of one who may do nothing"  # 30 in each minute that it took
    # Who may look at a host may not fill the record by changing it
    ask("POST", "/permissions", {**limit, "role": "ReadOnly"})
    host = STATE["host"]
    refused(*ask("PATCH", "/hosts/" + host, {"name": "mine"}, token="mallory"), 403)
    rows = ask("GET", "/events?user=mallory&limit=1000")[1]["events"]
    equal([r for r in rows if r["phase"] == "intent" and r["operation"] != "session.new"], [], "intents")
    for target in "/users/mallory", "/vms/" + vm, "/clusters/" + cluster, "/hosts/" + host:
        equal(ask("DELETE", target)[0], 204, target)


def intents_name_what_is_about_to_be_done():
    equal(ask("POST", "/users", {"name": "ted", "password": "ted-password"})[0], 201, "user")
    equal(ask("POST", "/roles", {"name": "tedious", "privileges": []})[0], 201, "role")
    one = ask("POST", "/permissions", {"user": "ted", "role": "tedious", "object": "global"})[1]["id"]
    equal(ask("PUT", "/roles/tedious", {"privileges": ["System.View"]})[0], 200, "role")
    equal(ask("PATCH", "/users/ted", {"disabled": True})[0], 200, "user")
    equal(ask("DELETE", "/permissions/" + one)[0], 204, "permission")
    equal(ask("DELETE", "/roles/tedious?why=none")[0], 204, "role")
    equal(ask("DELETE", "/users/ted")[0], 204, "user")
    for operation, wanted, data in (("user.create", "user:ted", {"name": "ted"}),
                                    ("user.change", "user:ted", {"user": "ted", "disabled": True}),
                                    ("user.delete", "user:ted", {"user": "ted"}),
                                    ("role.create", "role:tedious", {"name": "tedious", "privileges": []}),
                                    ("role.change", "role:tedious", {"role": "tedious", "privileges": ["System.View"]}),
                                    ("role.delete", "role:tedious", {"role": "tedious", "query": {"why": "none"}}),
                                    ("permission.delete", "global", {"permission": one})):
        begun, done = ask("GET", f"/events?operation={operation}&limit=2")[1]["events"]
        equal((begun["phase"], begun["object"], done["object"]), ("intent", wanted, wanted), operation)
        equal(begun["data"], {**data, "peer": "127.0.0.1"}, operation)


def put_behind_its_back(kind, name, document):
    """As a host would have it by a report, or by asking for a key"""
    with sqlite3.connect(os.path.join(DIR, "manager.db")) as database:
        database.execute("INSERT INTO document(kind, id, body, vm, host) VALUES(?, ?, ?, ?, ?)",
                         (kind, name, json.dumps(document), document["vm"], document["host"]))
    database.close()


def an_encrypted_vm_wants_more():
    here, there = (ask("POST", "/clusters", {"name": name})[1]["id"] for name in ("nest", "roost"))
    vm, left = (ask("POST", "/vms", {"name": name, "cluster": here})[1]["id"] for name in ("egg", "shell"))
    host, dek, provider = str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())
    few = ["System.View", "Cryptographer.EncryptNew", "Cryptographer.RegisterVM"]
    equal(ask("POST", "/roles", {"name": "few", "privileges": few})[0], 201, "role")
    equal(ask("POST", "/users", {"name": "finn", "password": "finn-password"})[0], 201, "user")
    equal(ask("POST", "/permissions", {"user": "finn", "role": "few", "object": "global"})[0], 201, "permission")
    new = {"host": host, "vm": vm, "device": "/dev/vdb"}
    log_in("finn", "finn-password", "finn")
    refused(*ask("POST", "/disks", new, token="finn"), 404)  # there is no such host
    equal(ask("PATCH", "/vms/" + vm, {"cluster": there}, token="finn")[0], 200, "a plain VM")
    STATE["manager"].stop()
    put_behind_its_back("disk", dek, {"vm": vm, "host": host, "disk": "vda", "state": "loaded", "attached": True,
                                      "keys": [{"provider": provider, "key": "k1"}]})
    put_behind_its_back("key", f"{provider}/k2", {"provider": provider, "key": "k2", "vm": left, "host": None,
                                                  "disk": None, "created": "2026-01-01T00:00:00Z"})
    STATE["manager"] = Manager()
    log_in(ADMIN, PASSWORD, "admin")
    log_in("finn", "finn-password", "finn")
    for method, target, body, privilege in (("POST", "/disks", new, "AddDisk"),
                                            ("PATCH", "/vms/" + vm, {"cluster": here}, "Migrate")):
        status, answer = ask(method, target, body, token="finn")
        refused(status, answer, 403)
        assert "Cryptographer." + privilege in answer["error"]["text"], answer
    more = few + ["Cryptographer.AddDisk", "Cryptographer.Migrate"]
    equal(ask("PUT", "/roles/few", {"privileges": more})[0], 200, "role")
    refused(*ask("POST", "/disks", new, token="finn"), 404)
    equal(ask("PATCH", "/vms/" + vm, {"cluster": here}, token="finn")[0], 200, "migrated")
    # Whoever registers the same UUID elsewhere would have them
    status, answer = ask("DELETE", "/vms/" + left)
    refused(status, answer, 409)
    assert "key remove" in answer["error"]["text"], answer
    rows = ask("GET", "/events?operation=disk.lock")[1]["events"]
    ask("POST", f"/disks/{dek}/lock", {"host": host})
    begun, done = ask("GET", "/events?operation=disk.lock")[1]["events"][len(rows):]
    equal([(r["phase"], r["object"], r["key"], r["vm"], r["host"]) for r in (begun, done)],
          [(phase, "disk:" + dek, "k1", vm, host) for phase in ("intent", "outcome")], "all that it is about")
