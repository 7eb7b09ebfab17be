# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the system test asks of the host beyond the demo: rights, an agent that
dies under I/O, locks, secrets that must not lie about, and rescue without us."""

SECRETS = "/run/test-secrets"


class Extra:
    """Each method is one matter; they leave the disk attached, but the last."""

    def __init__(self, flow):
        self.host = flow.host
        self.check = flow.report.check
        self.step = flow.report.step
        self.flow = flow

    def run(self, name, device, mapped):
        self.sandbox()
        self.rights()
        self.agent_dies(mapped)
        self.lock(name, device, mapped)
        self.secrets(device)
        self.rescue(name, device, mapped)

    def sandbox(self):
        status, output = self.host.try_run("systemd-analyze security --no-pager --threshold=30 vmcryptd")
        self.check(status == 0, "the unit's exposure is 3.0 or better", output[-300:])
        output = self.host.run("grep -E '^(NoNewPrivs|Seccomp|CapEff)' /proc/$(systemctl show -P MainPID vmcryptd)/status")
        self.check("NoNewPrivs:\t1" in output and "Seccomp:\t2" in output, "the agent confines itself", output)

    def rights(self):
        self.step("Who may do what")
        host, check = self.host, self.check
        status, output = host.try_run("setpriv --reuid=nobody --clear-groups vmcryptctl status")
        check(status == 4, "a stranger may not even ask", f"{status} {output}")
        group = "setpriv --reuid=nobody --regid=nogroup --groups=$(getent group vmcrypt | cut -d: -f3)"
        status, output = host.try_run(f"{group} vmcryptctl disk list")
        check(status == 0, "a member of the group may read", f"{status} {output}")
        status, output = host.try_run(f"{group} vmcryptctl disk lock guest1")
        check(status == 4, "a member of the group may change nothing", f"{status} {output}")

    def agent_dies(self, mapped):
        """I/O goes on while the agent is killed and comes back"""
        self.step("The agent is killed while I/O is under way")
        host = self.host
        output = host.run(
            f"dd if={mapped} of=/dev/null bs=64k iflag=direct count=1000 2>/run/dd.log & dd=$!; sleep 0.3; "
            "before=$(systemctl show -P MainPID vmcryptd); systemctl kill -s KILL vmcryptd; wait $dd && echo io-done; "
            "for i in $(seq 90); do [ \"$(systemctl is-active vmcryptd)\" = active ] && "
            "[ \"$(systemctl show -P MainPID vmcryptd)\" != $before ] && break; sleep 1; done; "
            "systemctl is-active vmcryptd; vmcryptctl disk show guest1", timeout=150)
        self.check("io-done" in output, "I/O goes on without the agent", output)
        self.check("active" in output and "loaded" in output.lower(), "the agent comes back and knows the disk", output)

    def lock(self, name, device, mapped):
        """A locked disk gives no data, clear or raw; unlocked it goes on, from the
        header's second copy if it must, and the first one is written anew"""
        self.step("The disk is locked by an administrator, and unlocked")
        host, check = self.host, self.check
        host.run(f"vmcryptctl disk lock {name}")
        for _ in range(20):
            status = host.run(f"dmsetup status {name}")
            if " locked " in status:
                break
        check(" locked " in status, "the kernel has forgotten the key", status)
        host.run(f"(dd if={mapped} bs=4096 count=1 iflag=direct 2>/dev/null | sha256sum >/run/read.sum) "
                 ">/dev/null 2>&1 &")
        output = host.run("sleep 2; wc -c </run/read.sum")
        check(output.strip() == "0", "a read of the locked disk waits", output)
        status, output = host.try_run("systemctl restart vmcryptd && vmcryptctl disk show guest1", 120)
        check(status == 0 and "locked" in output, "the lock outlives a restart of the agent", output)
        host.run(f"dd if=/dev/urandom of={device} bs=4096 count=1 conv=notrunc,fsync 2>/dev/null")
        status, output = host.try_run(f"vmcryptctl disk table {device}", 90)
        check(status == 0 and " vmcrypt aes-xts-plain64 " in output, "a header with one copy destroyed still opens",
              output)
        host.run(f"vmcryptctl disk unlock {name}", timeout=90)
        check(host.run(f"head -c 4 {device}") == "LUKS", "unlocking repairs the destroyed copy")
        status, output = host.try_run(
            f"sleep 1; cat /run/read.sum; dd if={mapped} bs=4096 count=1 iflag=direct 2>/dev/null | sha256sum")
        sums = output.split("\n")
        check(status == 0 and len(sums) >= 2 and sums[0] == sums[1] != "", "the read that waited ends well", output)

    def secrets(self, device):
        """The DEK, raw or as hex or base64, is in no file of the host"""
        self.step("No key lies about on the host's disks")
        host = self.host
        host.run(f"mkdir -p -m 700 {SECRETS} && vmcryptctl disk export-key {device} --out {SECRETS}/dek", timeout=90)
        self.flow.dek_bytes = bytes.fromhex(host.run(f"od -A n -v -t x1 {SECRETS}/dek").replace(" ", "").replace("\n", ""))
        self.check(len(self.flow.dek_bytes) == 64, "the exported DEK has 64 bytes")
        output = host.run(
            f"hex=$(od -A n -v -t x1 {SECRETS}/dek | tr -d ' \\n'); b64=$(base64 -w 0 {SECRETS}/dek); "
            "journalctl --no-pager --all >/run/journal; "
            "grep -r -l -i -F -e $hex -e ${b64:0:80} /var/lib/vmcrypt /var/log /etc/vmcrypt /run/journal /run/vmcrypt || echo none",
            timeout=120)
        self.check(output.strip() == "none", "no file of the agent and no log holds the DEK", output)

    def rescue(self, name, device, mapped):
        """With the exported DEK, stock cryptsetup and dm-crypt open the disk"""
        self.step("Rescue: stock cryptsetup opens the disk with the exported DEK")
        host = self.host
        host.run(f"dd if={mapped} bs=1M count=8 iflag=direct 2>/dev/null | sha256sum >/run/ours; "
                 f"vmcryptctl disk detach {name}", timeout=90)
        status, output = host.try_run(
            f"modprobe dm-crypt; cryptsetup open --key-size 512 --volume-key-file {SECRETS}/dek {device} rescue && "
            "dmsetup table rescue | cut -d ' ' -f 3,4 && "
            "dd if=/dev/mapper/rescue bs=1M count=8 iflag=direct 2>/dev/null | sha256sum | diff - /run/ours && "
            f"e2fsck -fn /dev/mapper/rescue && cryptsetup close rescue; rm -r {SECRETS}", 180)
        self.check(status == 0 and "crypt aes-xts-plain64" in output, "dm-crypt reads what vmcrypt wrote", output)
