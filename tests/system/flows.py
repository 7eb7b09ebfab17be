# SPDX-License-Identifier: LGPL-2.1-or-later
"""The seven flows of a standard provider, point by point. They build on each other:
the shared disk is made on kvm1, moves to kvm2, and there goes through all troubles."""

import base64
import json
import time

from keyserver import SLOW  # which knows where the unit tests are
from machine import PATIENCE, holds
import openapi

SHARED = "/dev/disk/by-id/virtio-shared"
OTHER = "/dev/disk/by-id/virtio-other"
NAME = "web1"
MAPPED = f"/dev/mapper/{NAME}"

# What the last of all key servers that failed is said to have done
TROUBLES = {
    "down": "Connecting to key server",
    "stalled": "in time",
    "garbage": "bytes came, more than",
    "expired": "it has expired",
}
# Routes whose answers only hosts with the kernel module have
ROUTES = {verb: f"/disks/{{disk}}/{verb}" for verb in ("attach", "detach", "lock", "unlock")}


def until(condition, seconds=60):
    """Whether it becomes true in time"""
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


class Flows:
    def __init__(self, site):
        self.site = site
        self.kvm1, self.kvm2 = site.hosts
        self.check = site.report.check
        self.step = site.report.step
        self.show = site.report.show
        self.anna, self.carl, self.nina = site.anna, site.carl, site.nina
        self.dek = self.key = self.content = None

    # ---- what the flows ask of machines and manager ----

    def tell(self, user, *words):
        """A command of a user, shown; its answer"""
        answer = user.run(*words)
        if words[0] == "disk" and words[1] in ROUTES:
            openapi.check_done("post", ROUTES[words[1]], answer)
        self.show(f"{user.name}$ vmcryptctl --manager … {' '.join(words)}\n{json.dumps(answer)[:400]}")
        return answer

    def state(self, host, dek=None):
        """Of a disk in the kernel, None where the host knows nothing of it"""
        status, output = host.try_run(f"vmcryptctl disk show {dek or self.dek} --json")
        return json.loads(output)["state"] if status == 0 else None

    def sum(self, host):
        return host.run(f"dd if={MAPPED} bs=1M count=4 iflag=direct 2>/dev/null | sha256sum", 120)

    def events(self, operation, **members):
        rows = self.anna.run("event", "list", "--limit", 1000)["events"]
        return [row for row in rows if row["operation"] == operation
                and all(row[name] == value for name, value in members.items())]

    def recorded(self, operation, what, **members):
        """Intent and outcome, in this order"""
        rows = self.events(operation, **members)
        good = {row["id"]: row["seq"] for row in rows if row["phase"] == "outcome" and row["result"] == "ok"}
        intents = [row for row in self.events(operation) if row["phase"] == "intent"
                   and row["seq"] < good.get(row["id"], 0)]
        self.check(good and intents, f"recorded with intent and outcome: {what}", rows[-4:])

    def refused(self, operation, what, **members):
        rows = self.events(operation, result="refused", **members)
        self.check(rows, f"recorded as refused: {what}", operation)

    @staticmethod
    def forget(host):
        """The agent that starts anew holds no key of a key server"""
        host.run("systemctl restart vmcryptd", 120)

    @staticmethod
    def link(host):
        return json.loads(host.run("vmcryptctl status --json"))["manager"] or {}

    def linked(self, host):
        return until(lambda: self.link(host).get("connected"))

    def reason(self, host, wanted, what, device=SHARED):
        """The key cannot be had: exit status 3, and vSphere's name for why"""
        status, output = host.try_run(f"vmcryptctl disk table {device}", 120)
        self.check(status == 3 and wanted in output, f"{what}: status 3 and {wanted}", f"{status} {output}")
        self.show(output)
        return output

    def opens(self, host, what, device=SHARED):
        status, output = host.try_run(f"vmcryptctl disk table {device}", 120)
        self.check(status == 0 and " vmcrypt aes-xts-plain64 " in output, what, output)

    # ---- the flows ----

    def encrypt(self):
        self.step("Flow 1: carl encrypts a disk of VM web on kvm1")
        disk = self.tell(self.carl, "disk", "create", SHARED, "--host", "kvm1", "--vm", "web", "--disk", "root")
        self.dek = disk["dek"]
        provider, self.key = disk["keys"][0].split("/", 1)
        self.check(provider == "kms", "its KEK is one of the default provider", disk)
        state = self.site.key_state(self.key)
        self.check(state == "ACTIVE", "the key server made the key and holds it active", state)
        header = json.loads(self.kvm1.run(f"cryptsetup luksDump --dump-json-metadata {SHARED}"))
        token = header["tokens"]["0"]
        self.check(token["type"] == "vmcrypt" and token["wraps"][0]["key"] == self.key and not header["keyslots"],
                   "the header holds the wrapped DEK with the key's id, and no passphrase", header)
        known = self.kvm1.run("vmcryptctl key list --json")
        self.recorded("key.new", "the key", key=self.key)
        self.recorded("disk.create", "carl's command", user="carl")
        other = self.site.host_id("kvm2")
        self.check(until(lambda: self.events("key.push", key=self.key, host=other, result="ok")),
                   "the key was pushed to the cluster's other host", known)
        self.tell(self.carl, "disk", "attach", self.dek, SHARED, NAME, "--host", "kvm1")
        self.kvm1.run(f"dd if=/dev/urandom of={MAPPED} bs=1M count=4 oflag=direct 2>/dev/null")
        self.content = self.sum(self.kvm1)
        self.check(self.state(self.kvm1) == "loaded", "attached on kvm1, and written to")
        rows = self.anna.run("disk", "list")["disks"]
        self.check(any(row["id"] == self.dek for row in rows), "the manager lists the disk", rows)

    def move(self):
        self.step("Flow 3: the VM moves; kvm2 attaches its disk, nobody hands over a key")
        self.tell(self.carl, "disk", "detach", self.dek, "--host", "kvm1")
        self.site.keyserver.set("down")  # what kvm2 needs it has already
        self.tell(self.carl, "disk", "attach", self.dek, SHARED, NAME, "--host", "kvm2")
        self.site.keyserver.set("open")
        self.check(self.sum(self.kvm2) == self.content, "kvm2 reads what kvm1 wrote")
        status, output = self.carl.try_run("disk", "attach", self.dek, OTHER, "wrong", "--host", "kvm2")
        self.check(status == 1, "another device is not attached in its place", f"{status} {output}")

    def reboot(self):
        self.step("Flow 2: kvm2 reboots; the manager pushes its keys, its disk is there again")
        self.kvm2.run(f"echo '{NAME} {SHARED}' >>/etc/vmcrypt/disks")
        before = max(row["seq"] for row in self.events("key.push"))
        self.kvm2.reboot()
        self.check(until(lambda: self.state(self.kvm2) == "loaded"), "the disk is attached", self.link(self.kvm2))
        self.check(self.sum(self.kvm2) == self.content, "with its content")
        host = self.site.host_id("kvm2")
        given = [row for operation in ("key.push", "key.get")
                 for row in self.events(operation, key=self.key, host=host, result="ok") if row["seq"] > before]
        self.check(given, "the key came from the manager, who fetched it by its id", given)

    def manager_down(self):
        self.step("Flow 4: the manager is down")
        kvm2 = self.kvm2
        self.kvm1.run("systemctl stop vmcrypt-manager", 60)
        self.check(until(lambda: not self.link(kvm2).get("connected")), "kvm2 notices")
        self.check(self.sum(kvm2) == self.content, "a running disk does not")
        kvm2.run(f"vmcryptctl disk detach {NAME} && vmcryptctl disk attach {SHARED} {NAME}", 120)
        self.check(self.sum(kvm2) == self.content, "a key that the host holds still serves")
        self.forget(kvm2)
        self.check(self.sum(kvm2) == self.content, "a running disk does not notice that the agent starts anew")
        self.reason(kvm2, "KeyStateMissingInCache", "a key that the host has not")
        self.kvm1.run("systemctl start vmcrypt-manager", 90)
        self.check(self.linked(kvm2), "the manager is back, kvm2 finds it by itself", self.link(kvm2))
        self.anna.log_in()
        self.carl.log_in()
        self.nina.log_in()
        self.opens(kvm2, "and has its keys again")

    def key_server_down(self):
        self.step("Flow 5: one of the two key servers is down, then slow")
        first, second = self.site.keyserver.gates
        for mode in ("down", "slow"):
            # A server that failed is asked last: its probe makes it one of the good again
            first.set("open")
            status = self.site.provider_status()
            self.check([server["ok"] for server in status["servers"]] == [True, True], "both are well", status)
            first.set(mode)
            began = time.monotonic()
            state = self.anna.run("key", "show", "kms", self.key)["state"]
            took = time.monotonic() - began
            self.check(state == "active" and took < SLOW,
                       f"one is {mode}: the other one is asked before it would have answered", f"{state}, {took:.1f} s")
            self.forget(self.kvm2)
            self.linked(self.kvm2)
            self.opens(self.kvm2, f"one is {mode}: keys come from the other one")
        status = self.site.provider_status()
        self.check([server["ok"] for server in status["servers"]] == [False, True] and status["state"] == "yellow",
                   "the probe tells the two apart", status)
        self.check(len(status["hosts"]) == 2 and all(host["ok"] for host in status["hosts"]),
                   "and finds that each host can wrap and unwrap", status)
        first.set("open")

    def key_servers_useless(self):
        self.step("Flow 5: both key servers are down, stalled, answer garbage, have an expired certificate")
        for mode in TROUBLES:
            self.site.keyserver.set(mode)
            self.forget(self.kvm2)
            self.linked(self.kvm2)
            output = self.reason(self.kvm2, "KeyStateClusterUnreachable", f"all key servers {mode}")
            self.check(TROUBLES[mode] in output, f"and it is said what is wrong: \"{TROUBLES[mode]}\"", output)
            self.check(self.sum(self.kvm2) == self.content, "the running disk does not notice")

    def unlocks_by_itself(self):
        self.step("Flow 5: a disk that is locked for want of a key unlocks by itself when the key can be had")
        kvm2 = self.kvm2
        kvm2.run(f"vmcryptctl disk lock {NAME}")
        self.check(until(lambda: self.state(kvm2) == "locked"), "locked, its key wiped from the kernel")
        status, output = kvm2.try_run(f"vmcryptctl disk unlock {NAME}", 120)
        self.check(status == 3 and self.state(kvm2) == "locked", "unlocked, but there is no key",
                   f"{status} {output}")
        kvm2.run(f"(dd if={MAPPED} bs=1M count=4 iflag=direct 2>/dev/null | sha256sum >/run/read.sum) "
                 ">/dev/null 2>&1 &")
        self.site.keyserver.set("open")
        self.check(until(lambda: self.state(kvm2) == "loaded", 180), "the key server is back, and so is the key")
        self.check(until(lambda: kvm2.run("cat /run/read.sum") == self.content), "a read that waited ends well")

    def key_retired(self):
        """A key that is not active encrypts nothing and comes to no host"""
        self.step("Flows 5 and 6: the key of another disk is deactivated, then destroyed")
        kvm1 = self.kvm1
        disk = self.tell(self.carl, "disk", "create", OTHER, "--host", "kvm1", "--vm", "web", "--disk", "data")
        key = disk["keys"][0].split("/", 1)[1]
        self.check(key != self.key, "each disk has a key of its own", disk)
        kvm1.run(f"vmcryptctl disk attach {OTHER} data", 120)
        self.site.retire(key)
        self.forget(kvm1)
        self.linked(kvm1)
        self.reason(kvm1, "KeyStateNotActiveOrEnabled", "deactivated", OTHER)
        status, output = kvm1.try_run("dd if=/dev/mapper/data of=/dev/null bs=1M count=4 iflag=direct")
        self.check(status == 0, "what runs with it goes on", output)
        self.site.destroy(key)
        self.reason(kvm1, "KeyStateMissingInKMS", "destroyed", OTHER)
        kvm1.run("vmcryptctl disk detach data", 60)
        self.not_taken_in(key, "destroyed", "KeyStateMissingInKMS")
        states = {self.site.key_state(row["key"]) for row in self.anna.run("key", "list")["keys"]
                  if row["key"] != key}
        self.check(states == {"ACTIVE"}, "what still encrypts is active", states)

    def only_active_keys(self):
        """Keys that the key server has already, of each state: what may not encrypt gets to no VM"""
        self.step("Flow 6: a deactivated key is not taken in for a VM; one that never was active becomes so first")
        key = self.site.make_key(active=True)
        self.site.retire(key)
        self.not_taken_in(key, "deactivated")
        for active in (True, False):
            key = self.site.make_key(active=active)
            answer = self.anna.run("key", "add", "kms", key, "web")
            self.check(answer["state"] == "active" and self.site.key_state(key) == "ACTIVE",
                       "a key that is active is" if active else "one that never was is activated", answer)
            self.anna.run("key", "remove", "kms", key)

    def not_taken_in(self, key, what, reason="KeyStateNotActiveOrEnabled"):
        status, output = self.anna.try_run("key", "add", "kms", key, "web")
        self.check(status == 3 and reason in output, f"a key that is {what} is refused: status 3 and {reason}",
                   f"{status} {output}")
        self.show(output)

    def native(self):
        """The hosts make keys from one key that they have; the manager gave it to them, and is off"""
        self.step("A native provider: with the manager down both hosts make and use keys")
        self.tell(self.anna, "provider", "create", "native", "derived")
        self.site.back_up("derived")
        self.tell(self.anna, "provider", "default", "derived", "--cluster", "c1")
        for host in self.site.hosts:
            self.check(until(lambda: "derived" in host.run("vmcryptctl provider list --json")),  # noqa: B023
                       f"{host.name} has the provider")
        self.tell(self.anna, "vm", "register", "loner", "--cluster", "c1")
        self.kvm1.run("systemctl stop vmcrypt-manager", 60)
        self.check(until(lambda: not any(self.link(host).get("connected") for host in self.site.hosts)),
                   "both notice that the manager is down")
        for maker, other in ((self.kvm1, self.kvm2), (self.kvm2, self.kvm1)):
            self.by_themselves(maker, other)
        self.kvm1.run("systemctl start vmcrypt-manager", 90)
        self.check(all(self.linked(host) for host in self.site.hosts), "the manager is back")
        for user in self.anna, self.carl, self.nina:
            user.log_in()
        self.check(until(lambda: any(row["vm_name"] == "loner" for row in self.anna.run("disk", "list")["disks"])),
                   "and learns of the disk that was made meanwhile")

    def by_themselves(self, maker, other):
        """A disk that one host makes and the other one opens"""
        mapped = "/dev/mapper/lone"
        read = f"dd if={mapped} bs=1M count=4 iflag=direct 2>/dev/null | sha256sum"
        maker.run(f"blockdev --flushbufs {OTHER}; vmcryptctl disk create {OTHER} --vm loner --provider derived --force; "
                  f"vmcryptctl disk attach {OTHER} lone", 180)
        wrote = maker.run(f"dd if=/dev/urandom of={mapped} bs=1M count=4 oflag=direct 2>/dev/null; {read}", 120)
        maker.run("vmcryptctl disk detach lone && sync", 60)
        found = other.run(f"blockdev --flushbufs {OTHER}; vmcryptctl disk attach {OTHER} lone; {read}; "
                          "vmcryptctl disk detach lone", 180)
        self.check(wrote.split()[0] in found, f"{maker.name} makes a disk, {other.name} attaches and reads it", found)

    def by_the_manager(self):
        """Locking from afar"""
        self.step("The manager locks the disk on kvm2 and unlocks it")
        self.tell(self.anna, "disk", "lock", self.dek, "--host", "kvm2")
        self.check(until(lambda: self.state(self.kvm2) == "locked"), "locked")
        self.tell(self.anna, "disk", "unlock", self.dek, "--host", "kvm2")
        self.check(until(lambda: self.state(self.kvm2) == "loaded"), "unlocked")
        self.check(self.sum(self.kvm2) == self.content, "with its content")

    def privileges(self):
        self.step("Flow 7: who may not, user or host, gets status 4 and an event")
        status, output = self.nina.try_run("disk", "create", OTHER, "--host", "kvm1", "--vm", "web")
        self.check(status == 4 and "Cryptographer.EncryptNew" in output,
                   "an administrator without cryptography encrypts nothing", f"{status} {output}")
        self.refused("POST /disks", "nina's command", user="nina")
        self.kvm1.run(f"dd if=/dev/zero of={OTHER} bs=1M count=16 oflag=direct 2>/dev/null")
        self.tell(self.carl, "disk", "create", OTHER, "--host", "kvm1", "--vm", "solo")
        self.opens(self.kvm1, "VM solo is registered to kvm1, which has its key", OTHER)
        self.kvm2.run(f"blockdev --flushbufs {OTHER}")
        status, output = self.kvm2.try_run(f"vmcryptctl disk table {OTHER}", 120)
        self.check(status == 4, "kvm2 does not get it", f"{status} {output}")
        self.refused("key.get", "the key that kvm2 asked for", host=self.site.host_id("kvm2"))

    # ---- in the end ----

    def records(self):
        self.step("The record: chained, complete, and without a secret")
        status, output = self.anna.try_run("event", "verify")
        self.check(status == 0, "no event was removed or altered", output)
        self.show(self.anna.show("event", "list", "--limit", 12))
        self.secrets = self.site.keyserver.material(self.site.client)
        self.kvm2.run(f"vmcryptctl disk export-key {SHARED} --out /run/dek", 90)
        self.secrets.append(base64.b64decode(self.kvm2.run("base64 /run/dek")))
        self.kvm2.run("rm /run/dek")
        words = "\n".join(word for secret in self.secrets for word in self.spellings(secret))
        for host in self.site.hosts:
            output = self.search(host, words)
            self.check(output == "none", f"no file of {host.name} and no journal holds a key", output)
            self.check(self.search(host, self.dek) != "none", "the search finds what is there", self.dek)

    @staticmethod
    def search(host, words):
        """Files of a host that hold one of the words"""
        return host.run(f"umask 077; cat >/run/words <<<'{words}'; journalctl --no-pager --all >/run/journal; "
                        "grep -r -l -i -F -f /run/words /var/lib/vmcrypt /var/lib/private /var/lib/vmcrypt-manager "
                        "/var/log /etc/vmcrypt /run/journal 2>/dev/null || echo none; rm /run/words /run/journal",
                        180).strip()

    @staticmethod
    def spellings(secret):
        return secret.hex(), base64.b64encode(secret).decode()

    def power_off(self):
        self.step("The machines power off; their disks are searched")
        for host in reversed(self.site.hosts):
            host.power_off()
            complaints = host.complaints()
            self.check(not complaints, f"the kernel of {host.name} has no complaint", complaints)
        images = [self.site.root(host) for host in self.site.hosts] + self.site.images()
        found = [image for image in images for secret in self.secrets
                 for word in (secret, *(w.encode() for w in self.spellings(secret))) if holds(image, word)]
        self.check(self.secrets and not found, "neither they nor the shared disks hold a key", found)
        self.check(holds(self.site.images()[0], self.dek.encode()), "the search finds what is there")
