#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vmcryptd and vmcryptctl with the kernel module: runs inside the test machine
# (scripts/agent-tests), as busybox's sh. /var/lib/vmcrypt holds a key provider
# that is backed up. Lines "#json NAME {...}" are held to the schema outside.

test=0
work=/tmp/agent-test
mkdir -p "$work" /run/vmcrypt /etc/vmcrypt

# check WHAT COMMAND...: the command must succeed
check()
{
	what=$1
	shift
	test=$((test + 1))
	if "$@" >"$work/out" 2>&1; then
		echo "ok $test - $what"
	else
		sed 's/^/# /' "$work/out"
		tail -n 20 "$work/log" | sed 's/^/# log: /'
		dmesg | tail -n 8 | sed 's/^/# dmesg: /'
		echo "not ok $test - $what"
	fi
}

# fails STATUS PATTERN COMMAND...: ends with this status and says this
fails()
{
	status=$1 pattern=$2
	shift 2
	"$@" 2>&1
	found=$?
	[ $found -eq "$status" ] || { echo "status $found, not $status"; return 1; }
	"$@" 2>&1 | grep -q "$pattern"
}

# says PATTERN COMMAND...: succeeds and says this
says()
{
	pattern=$1
	shift
	"$@" >"$work/said" 2>&1 || { cat "$work/said"; return 1; }
	grep -q "$pattern" "$work/said" || { cat "$work/said"; return 1; }
}

# json NAME COMMAND...: print its JSON in one line, for the check outside
json()
{
	name=$1
	shift
	"$@" --json >"$work/json" || return 1
	echo "#json $name $(tr -d '\n' <"$work/json")" >>"$work/jsons"
}

# until_true COMMAND...: within 20 s
until_true()
{
	n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 100 ] || return 1
		sleep 0.2
	done
}

start_agent()
{
	vmcryptd >>"$work/log" 2>&1 &
	agent=$!
	until_true vmcryptctl status
}

kill_agent()
{
	kill -9 "$agent" && wait "$agent" 2>/dev/null
	true
}

insert_module()
{
	for module in dm-mod loop aesni-intel xts curve25519-x86_64 libcurve25519 libchacha20poly1305; do
		modprobe -q "$module"
	done
	insmod /lib/vmcrypt/dm-vmcrypt.ko request_timeout_ms=15000
}

status_of()
{
	dmsetup status "$1" | grep -q " vmcrypt $2 "
}

# The n-th image as a loop device
make_image()
{
	truncate -s 40M "$work/img$1" && losetup "/dev/loop$1" "$work/img$1"
}

attach_by_dmsetup()
{
	vmcryptctl disk table "$1" >"$work/table" && dmsetup create "$2" <"$work/table"
}

reader=''
# Reads one block in the background
start_reader()
{
	dd if="/dev/mapper/$1" of="$work/read" bs=4096 count=1 iflag=direct 2>/dev/null &
	reader=$!
}

# Held in the target, not somewhere on its way
reader_waits()
{
	until_true says " vmcrypt locked [1-9][0-9]* [1-9]" dmsetup status one && kill -0 "$reader"
}

reader_ends()
{
	wait "$reader"
}

# A create and a remove close together: each needs the key anew
come_and_go()
{
	for i in 1 2 3 4 5 6 7 8; do
		begin=$(date +%s)
		dmsetup create go <"$work/table" && dmsetup remove go || return 1
		[ $(($(date +%s) - begin)) -lt 10 ] || { echo "round $i was slow"; return 1; }
	done
}

# An agent that stands still gets a request, dies, and its successor answers it
handed_over()
{
	kill -STOP "$agent"
	dmsetup create over <"$work/table" &
	creator=$!
	until_true grep -q vmcrypt "/proc/$creator/stack" || { echo "did not wait"; return 1; }
	kill_agent
	start_agent && wait "$creator" && status_of over loaded
}

# Writes go on while the agent is killed and comes back
io_survives()
{
	dd if=/dev/urandom of="$work/data" bs=1M count=8 2>/dev/null
	(for i in 1 2 3 4 5 6 7 8; do
		dd if="$work/data" of=/dev/mapper/one bs=64k oflag=direct conv=fsync || exit 1
	done) 2>"$work/dd" &
	writer=$!
	kill_agent
	sleep 1
	if ! status_of one loaded || ! start_agent || ! wait "$writer"; then
		cat "$work/dd"
		return 1
	fi
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/mapper/one bs=1M count=8 2>/dev/null | cmp - "$work/data"
}

differs_below()
{
	dd if=/dev/loop0 bs=1M skip=16 count=8 2>/dev/null >"$work/below"
	! cmp -s "$work/below" "$work/data"
}

attached_at_start()
{
	kill_agent
	cat >/etc/vmcrypt/disks <<-LINES
	# three of them, one that is not there, and one that is wrong
	one    /dev/loop0
	two    /dev/loop1  read-only,key-loss=error
	three  /dev/loop2  header=$work/three.hdr
	none   /dev/loop6  nofail
	wrong  /dev/loop0  bogus
	LINES
	start_agent
	until_true status_of one loaded && until_true status_of two loaded && until_true status_of three loaded
}

make_images()
{
	make_image 0 && make_image 1 && make_image 2
}

io_waits()
{
	start_reader one
	reader_waits
}

lock_outlives_agent()
{
	kill_agent
	start_agent && says "by an administrator" vmcryptctl disk list
}

# Descriptor 7 keeps it open
open_disk_stays()
{
	exec 7</dev/mapper/one
	fails 1 "in use" vmcryptctl disk detach one
}

is_gone()
{
	! dmsetup info "$1"
}

force_detaches()
{
	vmcryptctl disk detach one --force || return 1
	exec 7<&-
	until_true is_gone one
}

has_no_key()
{
	vmcryptctl key list >"$work/keys" && ! grep -q " $1 " "$work/keys"
}

# What the kernel log says counts from here on
refused_to_dmsetup()
{
	dmesg -c >/dev/null
	! dmsetup create two <"$work/table" && dmesg | grep -q "$1"
}

locked_is_refused()
{
	vmcryptctl disk lock /dev/loop1 && refused_to_dmsetup "locked by an administrator"
}

unlocked_is_given()
{
	vmcryptctl disk unlock /dev/loop1 && dmsetup create two <"$work/table" && dmsetup remove two
}

no_agent_no_key()
{
	kill_agent
	refused_to_dmsetup "start vmcryptd" || return 1
	start_agent
}

# A table that names the DEK of another disk
wrong_disk_is_refused()
{
	vmcryptctl disk table /dev/loop0 | sed 's/7:0\|loop0/loop1/' >"$work/mixed"
	dmesg -c >/dev/null
	! dmsetup create mixed <"$work/mixed" && dmesg | grep -q "no such disk or header"
}

bad_lines_are_named()
{
	until_true says "none .* waiting\|none .* failed" vmcryptctl status && says "bogus" vmcryptctl status
}

reads_fail()
{
	vmcryptctl disk lock two && ! dd if=/dev/mapper/two of=/dev/null bs=4096 count=1 iflag=direct
}

writes_fail()
{
	! dd if="$work/data" of=/dev/mapper/two bs=4096 count=1 oflag=direct
}

agent_ends()
{
	kill "$agent"
	wait "$agent" && status_of one loaded && status_of three loaded
}

echo "1..42"
: >"$work/log"
: >"$work/jsons"
check "the agent starts without the module" start_agent
check "it says so" says "incapable" vmcryptctl status
check "the module loads" insert_module
check "the agent notices" until_true says "safe" vmcryptctl status
check "images" make_images
check "a disk is made" json disk.create vmcryptctl disk create /dev/loop0 --vm vm1 --disk root
check "one with small sectors" vmcryptctl disk create /dev/loop1 --vm vm2 --sector-size 512 --key-bits 256
check "one with a detached header" vmcryptctl disk create /dev/loop2 --vm vm3 --header "$work/three.hdr"

check "attach" json disk.attach vmcryptctl disk attach /dev/loop0 one
check "its table" says " vmcrypt aes-xts-plain64 .* 7:0 32768 1 sector_size:4096$" dmsetup table one
check "the same name again is refused" fails 1 "detach it" vmcryptctl disk attach /dev/loop1 one
check "key list" json key.list vmcryptctl key list
check "disk list" json disk.list vmcryptctl disk list
check "status" json status vmcryptctl status
check "I/O outlives the agent" io_survives
check "the device below holds something else" differs_below
check "the agent that came back knows the key" says "loaded .* one " vmcryptctl key list
check "a provider in use stays" fails 1 "vm[123]" vmcryptctl provider delete main

check "lock" json disk.lock vmcryptctl disk lock one
check "the kernel's key is gone" status_of one locked
check "I/O waits" io_waits
check "the lock outlives the agent" lock_outlives_agent
check "unlock, by the device below" json disk.unlock vmcryptctl disk unlock /dev/loop0
check "the I/O that waited goes on" reader_ends
check "an open disk is not detached" open_disk_stays
check "but by force" force_detaches
check "its key went with it" has_no_key one

check "plain dmsetup create asks the agent" attach_by_dmsetup /dev/loop1 two
check "a table with the DEK of another disk is refused" wrong_disk_is_refused
check "detach" json disk.detach vmcryptctl disk detach two
check "create and remove in a row" come_and_go
check "a request that an agent left behind" handed_over
check "detach what dmsetup made" vmcryptctl disk detach over
check "a locked disk is refused to dmsetup" locked_is_refused
check "unlocked it is given" unlocked_is_given
check "no agent, no key" no_agent_no_key

check "disks are attached at start" attached_at_start
check "a wrong line and a missing device are named" bad_lines_are_named
check "read-only" writes_fail
check "an error where the key is missing" reads_fail
check "the events tell all of it" says "kernel .* key.load" vmcryptctl event list
check "SIGTERM ends the agent, the disks stay" agent_ends
cat "$work/jsons"
