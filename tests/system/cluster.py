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
import uuid

from host import KvmHost, make_share
from keyserver import ADDRESS, KeyServer
from machine import TOP, Failure
from pykmip import free_port
from report import Report

FOLDER = os.path.join(TOP, "build/cluster")
CTL = os.path.join(TOP, "build/vmcryptctl")
DISK_SIZE = 64 << 20


def path(name):
    return os.path.join(FOLDER, name)


class Administrator:
    """vmcryptctl --manager, as one user uses it from outside."""

    def __init__(self, name, url):
        self.name = name
        self.password = secrets.token_urlsafe(18)
        self.command = [CTL, "--manager", url, "--ca", path("ca.pem"), "--token-file", path(f"token-{name}")]
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
        for disk in ("shared", "second", "plain"):
            with open(path(f"{disk}.img"), "wb") as file:
                file.truncate(DISK_SIZE)
        self.hosts = [self.make_host("kvm1", f",hostfwd=tcp:127.0.0.1:{self.port}-:8443"),
                      self.make_host("kvm2", "")]
        # From out here the manager is at the loopback
        self.anna = Administrator("anna", f"https://127.0.0.1:{self.port}")

    def make_host(self, name, forward):
        host = KvmHost(name, path(name), path("share"), f"net=10.0.2.0/24{forward}", memory=1024, cpus=1)
        # One image in two machines, as on a SAN; pages of both go through one cache out here
        host.add_disk("shared", path("shared.img"), ",file.locking=off,cache=writeback")
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
        states = self.both(lambda host: host.run("systemctl is-active vmcryptd").strip())
        self.report.check(states == ["active"] * 2, "the agent runs under systemd on both", states)

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
        site.boot()
        site.start_manager()
    except Failure as failure:
        report.check(False, "the flows go on to their end", failure)
    finally:
        site.stop()
    return report.sum("cluster")


if __name__ == "__main__":
    sys.exit(main())
