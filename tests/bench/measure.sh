#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In the test machine that counts instructions: prints a line for each point,
# "fio DISK TARGET SECTOR-SIZE BLOCK DIRECTION NANOSECONDS-PER-IO", where a
# nanosecond is an instruction, and what bare xts(aes) costs.

# shellcheck source=tests/bench/setup.sh
. /bench/setup.sh

# What the measurements need to repeat to 0.3 %: instructions are counted, so
# that only interrupts and the allocators' state differ
bytes()
{
	case $1 in
	4k) echo 8m ;;
	64k) echo 24m ;;
	*) echo 40m ;;
	esac
}

# job NAME DEVICE BLOCK DIRECTION
job()
{
	cat <<-JOB
	[$1]
	stonewall
	filename=$2
	rw=$4
	bs=$3
	io_size=$(bytes "$3")
	JOB
}

# jobs DISK PREFIX BLOCK...: every target over one disk
jobs()
{
	disk=$1
	prefix=$2
	shift 2
	cat <<-JOB
	[global]
	ioengine=psync
	direct=1
	size=32m
	thread=1
	JOB
	for block; do
		for direction in read write; do
			for device in /dev/mapper/"$prefix"*; do
				[ "$device" != /dev/mapper/control ] || continue
				target=${device#/dev/mapper/"$prefix"}
				job "$disk/$target/$block/$direction" "$device" "$block" "$direction"
			done
		done
	done
}

# Terse output, version 3: the mean total latency in microseconds is field 40
# for reads, 81 for writes
measure()
{
	jobs "$@" >/tmp/jobs
	fio --output-format=terse --terse-version=3 /tmp/jobs >/tmp/terse || exit 1
	awk -F ';' '/^3;/ {
		split($3, p, "/")
		size = p[2] == "linear" ? 0 : p[2]
		sub(/.*-/, "", size)
		sub(/-.*/, "", p[2])
		printf "fio %s %s %s %s %s %.1f\n", p[1], p[2], size, p[3], p[4],
			1000 * (p[4] == "read" ? $40 : $81)
	}' /tmp/terse
}

modules
insmod /bench/xts_bare.ko || exit 1
dmesg | sed -n 's/.*xts_bare: /bare /p'
dmesg | sed -n 's/.*vmcrypt: *.*cipher driver/driver/p'

modprobe brd rd_nr=1 rd_size=65536
dd if=/dev/zero of=/dev/ram0 bs=1M count=64 2>/dev/null
targets /dev/ram0 ram- 512 4096
measure ram ram- 4k 64k 1m
dmsetup remove_all --force

# null_disk KIND "SECTOR-SIZE..." [SETTING...]: big I/O on a disk that is choosy
null_disk()
{
	kind=$1
	sizes=$2
	shift 2
	modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=0 memory_backed=0 "$@" || exit 1
	queue=/sys/block/nullb0/queue
	echo "limits $kind max_segments $(cat $queue/max_segments) max_segment_size $(cat $queue/max_segment_size)" \
		"max_sectors_kb $(cat $queue/max_sectors_kb) virt_boundary_mask $(cat $queue/virt_boundary_mask)"
	# shellcheck disable=SC2086
	targets /dev/nullb0 "$kind-" $sizes
	measure "$kind" "$kind-" 64k 1m
	dmsetup remove_all --force
	# or the next one would be this one again
	rmmod null_blk || exit 1
}

# A RAM disk takes any segments. These take 128 of them; or eight pages, each of
# which begins and ends where a page does
null_disk null 4096
null_disk small "512 4096" max_sectors=64 virt_boundary=1
