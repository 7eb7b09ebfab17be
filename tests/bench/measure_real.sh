#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In the test machine, in real time: measure_real.sh ROUNDS MILLISECONDS DISKS
# [POINT-REGEX]. The three kinds of target take turns, and each round another one
# begins, so that what else the computer does, and what a run leaves behind for
# the next one, meets all of them. Prints "real DISK TARGET BLOCK DIRECTION
# DEPTH JOBS ROUND KIB-PER-SECOND P99-MICROSECONDS", at the end "points N".

# shellcheck source=tests/bench/setup.sh
. /bench/setup.sh

rounds=$1
milliseconds=$2
disks=$3
wanted=${4:-.}

# order ROUND: of the targets
order()
{
	case $(($1 % 3)) in
	0) echo crypt tuned vmcrypt ;;
	1) echo tuned vmcrypt crypt ;;
	2) echo vmcrypt crypt tuned ;;
	esac
}

# turn DISK BLOCK DIRECTION DEPTH JOBS ROUND
turn()
{
	for target in $(order "$6"); do
		cat <<-JOB
		[$1/$target/$2/$3/$4/$5/$6]
		stonewall
		filename=/dev/mapper/$1-$target-4096
		rw=rand$3
		bs=$2
		iodepth=$4
		numjobs=$5
		JOB
	done
}

# point DISK BLOCK DIRECTION DEPTH JOBS: all its rounds in one fio. Percentiles are
# of the whole latency: a target that takes no REQ_NOWAIT spends it after the
# submission, in a worker of io_uring, one that takes it spends it in the submission
point()
{
	echo "$@" | grep -Eq "$wanted" || return 0
	cat >/tmp/jobs <<-JOB
	[global]
	ioengine=io_uring
	direct=1
	size=64m
	time_based=1
	runtime=${milliseconds}ms
	thread=1
	group_reporting=1
	norandommap=1
	clat_percentiles=0
	lat_percentiles=1
	JOB
	for round in $(seq "$rounds"); do
		turn "$@" "$round" >>/tmp/jobs
	done
	fio --output-format=terse --terse-version=3 /tmp/jobs >/tmp/terse || exit 1
	measured=$((measured + 1))
	awk -F ';' '/^3;/ {
		split($3, p, "/")
		at = p[4] == "randread" || p[4] == "read" ? 0 : 41
		p99 = ""
		for (i = 18 + at; i < 38 + at; i++)
			if ($i ~ /^99\.0+%=/) {
				p99 = $i
				sub(/.*=/, "", p99)
			}
		print "real", p[1], p[2], p[3], p[4], p[5], p[6], p[7], $(7 + at), p99
	}' /tmp/terse
}

points()
{
	for jobs in 1 2; do
		for direction in read write; do
			point "$1" 4k "$direction" 1 "$jobs"
			point "$1" 4k "$direction" 32 "$jobs"
			point "$1" 1m "$direction" 1 "$jobs"
			point "$1" 1m "$direction" 8 "$jobs"
		done
	done
}

measured=0
modules
for disk in $disks; do
	case $disk in
	ram)
		modprobe brd rd_nr=1 rd_size=65536
		dd if=/dev/zero of=/dev/ram0 bs=1M count=64 2>/dev/null
		targets /dev/ram0 ram- 4096
		;;
	null)
		modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=10000 submit_queues=2
		targets /dev/nullb0 null- 4096
		;;
	*)
		echo "no disk of the name $disk" >&2
		exit 2
		;;
	esac
	points "$disk"
	dmsetup remove_all --force
done
echo "points $measured"
