# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=dash
#
# In the test machine: the devices that are measured side by side. Sourced.

export DM_DISABLE_UDEV=1
KEY=""
for byte in $(seq 0 63); do
	KEY=$KEY$(printf %02x "$byte")
done

# The key outlives the first of its targets by a minute at most: real time in
# a machine that counts instructions is long, so it is loaded before each
modules()
{
	for module in dm-mod dm-crypt aesni-intel xts cryptd curve25519-x86_64 libcurve25519 \
		libchacha20poly1305; do
		modprobe -q "$module"
	done
	insmod /lib/vmcrypt/dm-vmcrypt.ko || exit 1
}

# create NAME SECTORS TARGET...
create()
{
	name=$1
	sectors=$2
	shift 2
	dmsetup create "$name" --table "0 $sectors $*" || exit 1
}

# targets DEVICE PREFIX SECTOR-SIZE...: all kinds over one device
targets()
{
	device=$1
	prefix=$2
	shift 2
	sectors=$(blockdev --getsz "$device")
	create "${prefix}linear" "$sectors" "linear $device 0"
	for size; do
		uuid=$(/bench/load_key) || exit 1
		create "${prefix}crypt-$size" "$sectors" \
			"crypt aes-xts-plain64 $KEY 0 $device 0 1 sector_size:$size"
		create "${prefix}tuned-$size" "$sectors" \
			"crypt aes-xts-plain64 $KEY 0 $device 0 3 no_read_workqueue no_write_workqueue sector_size:$size"
		create "${prefix}vmcrypt-$size" "$sectors" \
			"vmcrypt aes-xts-plain64 $uuid 0 $device 0 1 sector_size:$size"
	done
}
