#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An encrypted guest disk from end to end, on two Debian machines.

Machine 1 is a KVM host: it has the module, the agent, a TPM and a disk that it
encrypts. Machine 2 is a guest: its root disk is the decrypted view of that disk,
reached over NBD with TLS. The guest writes a marker; the host reboots; the guest
finds the marker again; the raw disk never shows it.
"""

import argparse
import json
import os
import secrets
import socket
import sys

from extra import Extra
from host import KvmHost, make_share
from machine import IMAGES, TOP, Failure, Machine, holds
from report import Report

FOLDER = os.path.join(TOP, "build/system")
DISK = "/dev/disk/by-id/virtio-vmdisk"
NAME = "guest1"
MAPPED = f"/dev/mapper/{NAME}"
DISK_SIZE = 1 << 30
EXPORT = "guest1-root"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Flow:
    """The two machines, and what is done with them step by step."""

    def __init__(self, report):
        self.report = report
        self.marker = "marker-" + secrets.token_hex(24)
        self.port = free_port()
        self.raw = self.path("disk.img")
        self.capture = self.path("network.pcap")
        self.host = self.make_host()
        self.guest = None
        self.dek_bytes = b""

    @staticmethod
    def path(name):
        return os.path.join(FOLDER, name)

    def make_host(self):
        with open(self.raw, "wb") as disk:
            disk.truncate(DISK_SIZE)
        make_share(self.path("share"), self.path("stage"))
        host = KvmHost("kvmhost", self.path("host"), self.path("share"),
                       f"restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:10809")
        host.add_disk("vmdisk", self.raw)
        host.add_disk("source", os.path.join(IMAGES, "guest.img"), ",snapshot=on")
        host.arguments += ["-object", f"filter-dump,id=capture,netdev=net0,file={self.capture}"]
        return host

    def make_guest(self):
        """The guest knows nothing of encryption: its disk is what the host decrypts"""
        guest = Machine("guest", self.path("guest"), memory=512, cpus=1)
        guest.arguments += [
            "-object", f"tls-creds-psk,id=tls0,dir={self.path('psk')},endpoint=client",
            "-blockdev", f"driver=nbd,node-name=root,server.type=inet,server.host=127.0.0.1,"
                         f"server.port={self.port},export={EXPORT},tls-creds=tls0",
            "-device", "virtio-blk-pci,drive=root"]
        return guest

    # ---- the steps ----

    def boot_host(self):
        self.report.step("Machine 1, a Debian KVM host with systemd and a TPM, starts")
        self.host.start()

    def install(self):
        self.report.step("The module is loaded; agent, units and pages are installed as `make install` does")
        host = self.host
        host.install()
        self.report.show(host.run("dmsetup targets | grep vmcrypt"))
        self.report.show(host.run("systemctl --no-pager -n 0 status vmcryptd"))
        self.report.check(host.run("systemctl is-active vmcryptd").strip() == "active", "the agent runs under systemd")

    def provider(self):
        self.report.step("A native key provider: its key is sealed to the TPM; without a backup no disk is made")
        host, check = self.host, self.report.check
        self.report.show(host.run("vmcryptctl provider create native main --require-tpm", timeout=90))
        status, output = host.try_run(f"vmcryptctl disk create {DISK} --vm guest1")
        check(status == 3 and "backup" in output, "no disk before the provider is backed up", output)
        host.run("umask 077; openssl rand -hex 16 >/root/password")
        self.report.show(host.run("vmcryptctl provider backup main --out /root/main.p12 "
                                  "--password-file /root/password", timeout=90))
        status, output = host.try_run("openssl pkcs12 -in /root/main.p12 -passin file:/root/password -info -noout", 90)
        check(status == 0 and "PBKDF2" in output and "AES-256-CBC" in output, "openssl opens the backup", output)
        status, output = host.try_run("vmcryptctl provider restore /root/main.p12 --dry-run "
                                      "--password-file /root/password", 90)
        check(status == 0, "the backup passes a dry run of restore", output)

    def encrypt(self):
        self.report.step("An encrypted disk, attached by plain dmsetup: the agent answers the kernel's key request")
        host, check = self.host, self.report.check
        self.report.show(host.run(f"vmcryptctl disk create {DISK} --vm guest1 --disk root", timeout=90))
        table = host.run(f"vmcryptctl disk table {DISK}").strip()
        self.report.show(table)
        check(" vmcrypt aes-xts-plain64 " in table, "disk table prints a table line", table)
        host.run(f"dmsetup create {NAME} --table '{table}'")
        self.report.show(host.run(f"dmsetup table {NAME}; dmsetup status {NAME}"))
        check(f" {self.dek()} " in host.run(f"dmsetup table {NAME}"), "the table names the DEK by its UUID")
        check(" loaded " in host.run(f"dmsetup status {NAME}"), "the kernel holds the DEK")
        host.run(f"echo '{NAME} {DISK}' >>/etc/vmcrypt/disks")

    def dek(self):
        disks = json.loads(self.host.run("vmcryptctl disk list --json"))
        disks = disks.get("disks", disks) if isinstance(disks, dict) else disks
        return disks[0]["dek"]

    def write_guest(self):
        self.report.step("A Debian guest system is written onto the encrypted disk")
        self.report.show(self.host.run(
            f"dd if=/dev/disk/by-id/virtio-source of={MAPPED} bs=1M oflag=direct status=none && "
            f"blkid -p {MAPPED}", timeout=240))

    def serve(self):
        """Exports the mapped device by NBD with TLS, its key in memory alone"""
        os.makedirs(self.path("psk"), mode=0o700, exist_ok=True)
        key = f"qemu:{secrets.token_hex(32)}\n"
        with open(os.open(self.path("psk/keys.psk"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as file:
            file.write(key)
        self.host.run(f"umask 077; mkdir -p /run/psk; echo '{key.strip()}' >/run/psk/keys.psk")
        self.host.run("qemu-nbd --fork --persistent --pid-file=/run/nbd.pid --cache=none --aio=threads "
                      "--discard=unmap --object tls-creds-psk,id=tls0,dir=/run/psk,endpoint=server "
                      f"--tls-creds tls0 --export-name={EXPORT} --format=raw --port=10809 {MAPPED}")

    def end_serving(self):
        self.host.run("pid=$(cat /run/nbd.pid); kill $pid; while [ -e /proc/$pid ]; do sleep 0.2; done; rm -r /run/psk",
                      timeout=30)

    def boot_guest(self, what):
        self.report.step(f"Machine 2, the guest, boots from {MAPPED} of machine 1 by NBD over TLS{what}")
        self.serve()
        self.guest = self.make_guest()
        self.guest.start()
        self.report.show(self.guest.run("hostname; findmnt -n -o SOURCE,FSTYPE,SIZE /; systemctl is-system-running --wait || "
                                        "systemctl --failed --no-pager", timeout=120))
        self.report.check(self.guest.run("hostname").strip() == "guest", "the guest is up")

    def stop_guest(self):
        self.guest.power_off()
        complaints = self.guest.complaints()
        self.report.check(not complaints, "the guest's kernel has no complaint", complaints)
        self.end_serving()

    def write_marker(self):
        self.report.step("The guest writes a file with a marker and shuts down")
        self.guest.run(f"for i in $(seq 20000); do echo {self.marker}; done >/root/marker && sync && "
                       "sha256sum /root/marker >/root/marker.sum && sync")
        self.stop_guest()

    def reboot_host(self):
        self.report.step("Machine 1 reboots; the agent attaches the disk by itself")
        self.host.reboot()
        self.report.check(self.host.run("systemctl is-active vmcryptd").strip() == "active",
                          "the agent is ready after the reboot")
        status, output = self.host.try_run(f"dmsetup status {NAME}")
        self.report.show(output)
        self.report.check(status == 0 and " vmcrypt loaded " in output, "the disk is attached, its DEK loaded",
                          output + self.host.try_run("journalctl -b -u vmcryptd --no-pager | tail -n 20")[1])

    def find_marker(self):
        status, output = self.guest.try_run("sha256sum -c /root/marker.sum && tail -n 1 /root/marker")
        self.report.show(output)
        self.report.check(status == 0 and self.marker in output, "the guest finds the file with the marker", output)
        self.stop_guest()

    def proofs(self):
        self.report.step("What the disk, the network and the records show")
        host, check = self.host, self.report.check
        marker = self.marker.encode()
        output = host.run(f"grep -a -c -m 1 {self.marker} {MAPPED}", timeout=180)
        check(output.strip() == "1", "the marker is in the attached disk", output)
        host.run("sync")
        check(not holds(self.raw, marker), "the marker is nowhere in the raw disk image")
        check(holds(self.raw, b"aes-xts-plain64"), "the raw image is the one with the header")
        check(not holds(self.capture, marker), "the marker crossed no network in clear")
        check(holds(self.capture, b"NBDMAGIC") and os.path.getsize(self.capture) > 10 << 20,
              "the capture did see the disk's traffic", os.path.getsize(self.capture))
        dump = host.run(f"cryptsetup luksDump {DISK}")
        self.report.show(dump)
        check("vmcrypt" in dump and "aes-xts-plain64" in dump, "stock cryptsetup shows the header", dump)
        self.events()

    def events(self):
        output = self.host.run("vmcryptctl event list --json")
        events = [json.loads(line) for line in output.splitlines() if line.strip()]
        self.report.show(self.host.run("vmcryptctl event list"))
        for operation in ("provider.create", "provider.backup", "disk.create"):
            phases = [event["phase"] for event in events if event["operation"] == operation]
            self.report.check("intent" in phases and "outcome" in phases,
                              f"the events have intent and outcome of {operation}", output)
        loads = [event for event in events if event.get("key") and event["phase"] == "outcome"
                 and event.get("result") == "ok" and event.get("vm") == "guest1"]
        self.report.check(len(loads) >= 3, "the events say which key served which VM", output)

    def finish(self):
        self.report.step("Machine 1 powers off")
        self.host.power_off()
        complaints = self.host.complaints()
        self.report.check(not complaints, "the host's kernel has no complaint", complaints)

    def kill(self):
        for part in (self.guest, self.host):
            if part:
                part.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", action="store_true", help="tell who watches what happens")
    args = parser.parse_args()

    report = Report(args.demo)
    flow = Flow(report)
    try:
        flow.boot_host()
        flow.install()
        flow.provider()
        flow.encrypt()
        flow.write_guest()
        flow.boot_guest("")
        flow.write_marker()
        flow.reboot_host()
        flow.boot_guest(" again")
        flow.find_marker()
        flow.proofs()
        if not args.demo:
            Extra(flow).run(NAME, DISK, MAPPED)
            report.check(not holds(flow.raw, flow.dek_bytes), "the raw disk image does not hold the DEK")
        flow.finish()
    except Failure as failure:
        report.check(False, "the flow goes on to its end", failure)
    finally:
        flow.kill()
    return report.sum("system")


if __name__ == "__main__":
    sys.exit(main())
