#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two KVM hosts of one cluster, their manager and a key server.

Machine kvm1 is a host and runs the manager under its unit; machine kvm2 is another
host. Both see one shared disk. The key server, two PyKMIP servers with the same
keys, and the administrator are out here.
"""

import argparse
import concurrent.futures
import json
import os
import secrets
import subprocess
import sys
import time
import uuid

from flows import Flows
from host import KvmHost, make_share
from keyserver import ADDRESS, KeyServer
from machine import TOP, Failure
from pykmip import free_port
from report import Report

FOLDER = os.path.join(TOP, "build/cluster")
CTL = os.path.join(TOP, "build/vmcryptctl")
DISKS = ("shared", "other")
CLIENT = "vmcrypt-manager"  # what the key server knows the manager as
ENCRYPTER = ("System.Read", "System.View", "Cryptographer.EncryptNew", "Cryptographer.AddDisk",
             "Cryptographer.Access",
             "Cryptographer.ManageKeys", "VirtualMachine.Config.RemoveDisk")
DISK_SIZE = 64 << 20


def path(name):
    return os.path.join(FOLDER, name)


class Administrator:
    """vmcryptctl --manager, as one user uses it from outside."""

    def __init__(self, name, url):
        self.name = name
        self.password = secrets.token_urlsafe(18)
        self.url = url
        self.token_file = path(f"token-{name}")
        self.command = [CTL, "--manager", url, "--ca", path("ca.pem"), "--token-file", self.token_file]
        self.password_file = path(f"password-{name}")
        with open(os.open(self.password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(self.password + "\n")

    def try_run(self, *words, timeout=120):
        result = subprocess.run([*self.command, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=timeout, check=False)
        return result.returncode, result.stdout + result.stderr

    def show(self, *words, timeout=120):
        """What people see"""
        status, output = self.try_run(*words, timeout=timeout)
        if status:
            raise Failure(f"{self.name}: 'vmcryptctl --manager … {' '.join(map(str, words))}' failed "
                          f"with status {status}: {output}")
        return output

    def run(self, *words, timeout=120):
        output = self.show("--json", *words, timeout=timeout)
        return json.loads(output) if output.strip() else None

    def log_in(self):
        return self.run("session", "create", self.name, "--password-file", self.password_file)


class Site:
    """Machines, manager, key server, users; what the flows work with."""

    def __init__(self, report):
        self.report = report
        self.port = free_port()
        self.url = f"https://{ADDRESS}:{self.port}"
        self.keyserver = KeyServer()
        make_share(path("share"), path("stage"))
        for disk in DISKS:
            with open(path(f"{disk}.img"), "wb") as file:
                file.truncate(DISK_SIZE)
        self.hosts = [self.make_host("kvm1", f",hostfwd=tcp:127.0.0.1:{self.port}-:8443"),
                      self.make_host("kvm2", "")]
        # From out here the manager is at the loopback
        self.anna, self.carl, self.nina = (Administrator(name, f"https://127.0.0.1:{self.port}")
                                           for name in ("anna", "carl", "nina"))

    def make_host(self, name, forward):
        host = KvmHost(name, path(name), path("share"), f"net=10.0.2.0/24{forward}", memory=1024, cpus=1)
        # Images that both machines have, as on a SAN; pages of both go through one cache out here
        for disk in DISKS:
            host.add_disk(disk, path(f"{disk}.img"), ",file.locking=off,cache=writeback")
        return host

    def both(self, work):
        """The same on both machines at a time"""
        with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
            return list(pool.map(work, self.hosts))

    # ---- setting up ----

    def boot(self):
        self.report.step("Two Debian KVM hosts with systemd and a TPM start: kvm1 and kvm2")
        self.both(lambda host: host.start())
        self.both(lambda host: host.install())
        self.set_clocks()
        states = self.both(lambda host: host.run("systemctl is-active vmcryptd").strip())
        self.report.check(states == ["active"] * 2, "the agent runs under systemd on both", states)

    def set_clocks(self):
        """As NTP would: an emulated clock falls behind, and certificates begin now"""
        self.both(lambda host: host.run(f"date -s @{int(time.time()) + 1}"))

    def start_manager(self):
        self.report.step("kvm1 gets the manager: init, then its unit")
        kvm1 = self.hosts[0]
        with open(self.anna.password_file, encoding="ascii") as file:
            kvm1.run(f"umask 077; echo '{file.read().strip()}' >/root/password")
        output = kvm1.run(
            "systemd-run --quiet --wait --pipe -p User=vmcrypt-manager -p SupplementaryGroups=tss "
            "-p StateDirectory=vmcrypt-manager -p StateDirectoryMode=0700 -p LimitMEMLOCK=infinity "
            f"/usr/sbin/vmcrypt-manager init --name {ADDRESS},127.0.0.1 --admin anna --password-file - --tpm "
            "</root/password", timeout=120)
        self.report.show(output)
        kvm1.run("rm /root/password; systemctl enable --now vmcrypt-manager", timeout=90)
        self.report.check(kvm1.run("systemctl is-active vmcrypt-manager").strip() == "active",
                          "the manager runs under its unit")
        confined = kvm1.run("grep -E '^(NoNewPrivs|Seccomp|CapEff|Uid)' "
                            "/proc/$(systemctl show -P MainPID vmcrypt-manager)/status")
        self.report.check("Seccomp:\t2" in confined and "CapEff:\t0000000000000000" in confined,
                          "without any privilege, confined by seccomp", confined)
        status, exposure = kvm1.try_run("systemd-analyze security --no-pager --offline=true --threshold=20 "
                                        "$(systemctl show -P FragmentPath vmcrypt-manager)")
        self.report.check(status == 0, "its unit's exposure is 2.0 or better", exposure[-300:])
        self.trust(output)

    def trust(self, output):
        """The CA comes over a connection that nobody can trust yet; what init printed makes it so"""
        about = json.loads(subprocess.run(
            ["curl", "-sk", "--max-time", "60", f"https://127.0.0.1:{self.port}/api/v1/about"],
            check=True, capture_output=True, text=True).stdout)
        self.report.check(about["authority"]["fingerprint"] in output, "its CA is the one that init printed")
        with open(path("ca.pem"), "w", encoding="ascii") as file:
            file.write(about["authority"]["certificate"])
        self.anna.log_in()

    def make_users(self):
        self.report.step("Users: carl may encrypt in the cluster, nina administers without cryptography")
        anna = self.anna
        self.cluster = anna.run("cluster", "create", "c1")["id"]
        anna.run("role", "create", "encrypter", ",".join(ENCRYPTER))
        for user, role, where in ((self.carl, "encrypter", f"cluster:{self.cluster}"),
                                  (self.nina, "NoCryptoAdmin", "global")):
            anna.run("user", "create", user.name, "--password-file", user.password_file)
            anna.run("permission", "create", user.name, role, where)
            user.log_in()
        self.report.show(anna.show("permission", "list"))

    def make_provider(self):
        """The key server's CA signs the manager's request; each side trusts that CA"""
        self.report.step("A standard key provider: two key servers that hold the same keys")
        anna = self.anna
        anna.run("provider", "create", "kms", "--type", "standard")
        request = anna.run("certificate", "set", "kms", "request", "--name", CLIENT)["request"]
        with open(path("manager.pem"), "w", encoding="ascii") as file:
            file.write(self.keyserver.sign_client(request))
        # Signed a moment ago, by a clock that may be ahead again
        self.set_clocks()
        anna.run("certificate", "set", "kms", "upload", "--file", path("manager.pem"))
        with open(path("kms-ca.pem"), "w", encoding="ascii") as file:
            file.write(self.keyserver.ca())
        for number, gate in enumerate(self.keyserver.gates, 1):
            anna.run("server", "add", "kms", f"kms{number}", ADDRESS, "--port", gate.port,
                     "--server-ca", path("kms-ca.pem"), "--legacy", timeout=180)
        self.report.show(anna.show("server", "list", "kms"))

    def join_token(self):
        file = path(f"join-{secrets.token_hex(4)}")
        self.anna.run("host", "token", "--cluster", "c1", "--out", file)
        with open(file, encoding="ascii") as token:
            return token.read().strip()

    def join(self):
        self.report.step("The hosts join with one-time tokens")
        for host in self.hosts:
            token = self.join_token()
            host.run(f"umask 077; echo {token} >/run/token; vmcryptctl host join {self.url} --token-file /run/token; "
                     "status=$?; rm /run/token; exit $status", 90)
        rows = self.anna.run("host", "list")["hosts"]
        self.ids = {row["name"]: row["id"] for row in rows}
        self.report.check(sorted(self.ids) == ["kvm1", "kvm2"], "the manager lists both", rows)
        for name in self.ids:
            self.anna.run("host", "enable", name)
        rows = self.anna.run("host", "list")["hosts"]
        self.report.check([row["mode"] for row in rows] == ["safe"] * 2, "encryption is enabled on both", rows)
        for vm, option, place in (("web", "--cluster", "c1"), ("solo", "--host", "kvm1")):
            self.anna.run("vm", "register", vm, "--id", str(uuid.uuid4()), option, place)

    # ---- what the flows ask ----

    client = CLIENT

    @staticmethod
    def images():
        return [path(f"{disk}.img") for disk in DISKS]

    @staticmethod
    def root(host):
        return host.path("root.qcow2")

    def host_id(self, name):
        return self.ids[name]

    def key_state(self, key):
        return self.keyserver.state(CLIENT, key)

    def retire(self, key):
        self.keyserver.deactivate(CLIENT, key)

    def make_key(self, active):
        return self.keyserver.make(CLIENT, active)

    def back_up(self, provider):
        """Without a backup a native provider is not used"""
        self.anna.run("provider", "backup", provider, "--out", path(f"{provider}.p12"),
                      "--password-file", self.anna.password_file, timeout=180)

    def destroy(self, key):
        self.keyserver.destroy(CLIENT, key)

    def provider_status(self):
        return self.anna.run("provider", "status", "kms", timeout=180)

    def stop(self):
        for host in self.hosts:
            host.kill()
        self.keyserver.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", action="store_true", help="tell who watches what happens")
    args = parser.parse_args()

    report = Report(args.demo)
    site = Site(report)
    try:
        for part in (site.boot, site.start_manager, site.make_users, site.make_provider, site.join):
            part()
        flows = Flows(site)
        parts = [flows.encrypt, flows.move, flows.reboot, flows.manager_down, flows.key_server_down,
                 flows.key_servers_useless, flows.unlocks_by_itself, flows.key_retired, flows.only_active_keys,
                 flows.by_the_manager, flows.privileges, flows.native, flows.records, flows.power_off]
        left_out = (flows.key_server_down, flows.key_retired, flows.only_active_keys, flows.by_the_manager,
                    flows.native)
        for part in parts:
            if not args.demo or part not in left_out:
                part()
    except Failure as failure:
        report.check(False, "the flows go on to their end", failure)
    finally:
        site.stop()
    return report.sum("cluster")


if __name__ == "__main__":
    sys.exit(main())
