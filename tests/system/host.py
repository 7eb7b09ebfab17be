# SPDX-License-Identifier: LGPL-2.1-or-later
"""A KVM host: a Debian machine that gets module, agent and manager from outside."""

import os
import subprocess
import tarfile

from machine import IMAGES, TOP, Machine, Tpm

MODULE = os.path.join(TOP, "build/kernel-6.1/dm-vmcrypt.ko")


def as_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def make_share(folder, stage):
    """What the machines install: the staged tree of `make install`, and the module"""
    os.makedirs(folder, exist_ok=True)
    with tarfile.open(os.path.join(folder, "stage.tar"), "w") as tar:
        tar.add(stage, arcname=".", filter=as_root)
    subprocess.run(["cp", MODULE, os.path.join(folder, "dm-vmcrypt.ko")], check=True)


class KvmHost(Machine):
    """Disks are found by /dev/disk/by-id/virtio-SERIAL."""

    def __init__(self, name, folder, share, network, memory=1536, cpus=2):
        super().__init__(name, folder, memory=memory, cpus=cpus)
        overlay = self.path("root.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b",
                        os.path.join(IMAGES, "host.img"), overlay], check=True)
        self.tpm = Tpm(self.path("tpm"))
        self.arguments += self.tpm.arguments() + [
            "-drive", f"file={overlay},if=none,id=root,format=qcow2,cache=unsafe",
            "-device", "virtio-blk-pci,drive=root",  # the first one, so /dev/vda
            "-netdev", f"user,id=net0,{network}", "-device", "virtio-net-pci,netdev=net0",
            "-virtfs", f"local,path={share},mount_tag=share,security_model=none",
            "-device", "virtio-rng-pci"]
        self.append(f"systemd.hostname={name}")

    def add_disk(self, serial, path, options=""):
        self.arguments += ["-drive", f"file={path},if=none,id={serial},format=raw{options}",
                           "-device", f"virtio-blk-pci,drive={serial},serial={serial}"
                                      + (",share-rw=on" if "locking=off" in options else "")]

    def start(self):
        self.tpm.start()
        super().start()
        self.run("mountpoint -q /mnt/share || mount -t 9p -o trans=virtio,version=9p2000.L share /mnt/share")

    def kill(self):
        super().kill()
        self.tpm.kill()

    def install(self):
        """As `make install` and DKMS do; the module is loaded at this and the next starts"""
        self.run("tar -x -C / --keep-directory-symlink -f /mnt/share/stage.tar && systemd-sysusers")
        self.run("for m in dm-mod $(modinfo -F depends /mnt/share/dm-vmcrypt.ko | tr , ' '); do modprobe $m; done; "
                 "insmod /mnt/share/dm-vmcrypt.ko")
        self.run("install -D -m 644 /mnt/share/dm-vmcrypt.ko "
                 "/lib/modules/$(uname -r)/updates/dkms/dm-vmcrypt.ko && depmod")
        self.run("systemctl daemon-reload && systemctl enable --now vmcryptd", timeout=90)
