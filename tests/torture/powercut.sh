#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In the test machine: powercut.sh BOOT LAST. Looks at what the last boot left on
# the encrypted /dev/vda, then writes until the machine is killed. A file's number
# is noted, outside the encrypted disk's file system, only after its fsync.

export DM_DISABLE_UDEV=1 PATH="$PATH:/torture"
DISK=/dev/mapper/torture
boot=$1
last=$2

fail()
{
	echo "boot $boot: $*"
	exit 1
}

modules()
{
	for module in dm-mod virtio_pci virtio_blk ext4 aesni-intel xts cryptd curve25519-x86_64 \
		libcurve25519 libchacha20poly1305; do
		modprobe -q "$module"
	done
	insmod /lib/vmcrypt/dm-vmcrypt.ko || fail "no module"
}

# The last MiB of the disk, unencrypted: how many files are on stable storage
note()
{
	printf '%-511d\n' "$1" | dd of=/dev/vda bs=512 seek="$mark" conv=notrunc,fsync oflag=direct status=none ||
		fail "note $1"
}

noted()
{
	dd if=/dev/vda bs=512 skip="$mark" count=1 iflag=direct status=none | tr -dc 0-9
}

content()
{
	seq "$1" "$(($1 + 20000))"
}

check()
{
	e2fsck -p -f "$DISK" >/tmp/fsck 2>&1 || [ $? -eq 1 ] || { cat /tmp/fsck; fail "fsck -p"; }
	e2fsck -f -n "$DISK" >/tmp/fsck 2>&1 || { cat /tmp/fsck; fail "fsck after repair"; }
	mount -t ext4 "$DISK" /tmp/mnt || fail "mount"
	n=$(noted)
	[ "$boot" -eq 1 ] || [ "${n:-0}" -gt 0 ] || fail "nothing was noted"
	i=$((n > 8 ? n - 8 : 0))
	while [ "$i" -lt "${n:-0}" ]; do
		content "$i" | cmp -s - "/tmp/mnt/$((i % 64))" || fail "file $i of $n is not what was written"
		i=$((i + 1))
	done
}

modules
sectors=$(($(blockdev --getsz /dev/vda) - 2048))
mark=$((sectors + 1024))
dmsetup create torture --table "0 $sectors vmcrypt aes-xts-plain64 $(key set 1) 0 /dev/vda 0" || fail "no disk"
mkdir -p /tmp/mnt
if [ "$boot" -eq 0 ]; then
	mkfs.ext4 -q -F "$DISK" || fail "mkfs"
	mount -t ext4 "$DISK" /tmp/mnt || fail "mount"
	n=0
	note 0
else
	check
fi
echo "checked $boot"
[ "$boot" -lt "$last" ] || { umount /tmp/mnt; exit 0; }
i=${n:-0}
first=$i
while :; do
	content "$i" >/tmp/mnt/new || fail "write"
	{ sync /tmp/mnt/new && mv /tmp/mnt/new "/tmp/mnt/$((i % 64))" && sync -f /tmp/mnt; } || fail "sync"
	i=$((i + 1))
	note "$i"
	# from here on the machine may be killed
	[ "$i" -ne $((first + 1)) ] || echo loaded
done
