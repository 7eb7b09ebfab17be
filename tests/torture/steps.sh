#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# In the test machine: steps.sh STEP..., with the counts in the environment. A
# step is one function that succeeds or fails; each prints TAP of its own.

: "${ROUNDS:=1000}" "${DISKS:=100}" "${TURNS:=2}" "${FILES:=10}" "${EVERY:=1}" "${SEED:=1}"
export DM_DISABLE_UDEV=1 VMCRYPT_MODULE=/lib/vmcrypt/dm-vmcrypt.ko PATH="$PATH:/torture"
DISK=/dev/mapper/torture

modules()
{
	for module in dm-mod dm-crypt dm-delay dm-flakey dm-log-writes dm-snapshot loop brd sd_mod \
		aesni-intel xts cryptd curve25519-x86_64 libcurve25519 libchacha20poly1305; do
		modprobe -q "$module"
	done
	modprobe -q null_blk nr_devices=0
	# Debian's kernels have configfs as a module, which null_blk has brought
	mount -t configfs configfs /sys/kernel/config 2>/dev/null
	insmod "$VMCRYPT_MODULE" 2>/dev/null || [ -d /sys/module/dm_vmcrypt ]
}

# attach DEVICE [OPTIONS]: key 1
attach()
{
	dmsetup create torture --table \
		"0 $(blockdev --getsz "$1") vmcrypt aes-xts-plain64 $(key set 1) 0 $1 0 ${2:-}"
}

detach()
{
	dmsetup remove --retry torture
}

# attach_loop FILE: prints the device; busybox has no --show
attach_loop()
{
	loop=$(losetup -f) && losetup "$loop" "$1" && echo "$loop"
}

# ram MIB: a fresh loop device in memory
ram()
{
	rm -f /tmp/ram
	truncate -s "$1M" /tmp/ram
	attach_loop /tmp/ram
}

# draw: the next of a row of numbers that begins with SEED, in $drawn
drawn=$SEED
draw()
{
	drawn=$(((drawn * 1103515245 + 12345) % 2147483648))
}

# verify NAME FILE MIB [FIO OPTION...]: random sizes, offsets and depths, each
# block read back and compared
verify()
{
	name=$1 file=$2 size=$3
	shift 3
	draw
	depth=$((drawn / 65536 % 64 + 1))
	fio --name="$name" --filename="$file" --size="${size}m" --rw=randwrite --bsrange=512-256k \
		--blockalign=512 --ioengine=io_uring --iodepth=$depth --iodepth_batch_submit=4 --direct=1 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --verify_async=1 --norandommap=0 \
		--randseed="$drawn" --eta=never --output=/tmp/fio.log "$@" 2>/tmp/fio.err && return
	echo "# $name, depth $depth, seed $drawn:"
	head -n 20 /tmp/fio.err | sed 's/^/# /'
	return 1
}

step_faults()
{
	fail_nth
}

step_loads()
{
	rmmod dm-vmcrypt && fail_load "$EVERY" $((SEED % EVERY + 1))
	status=$?
	insmod "$VMCRYPT_MODULE" && return $status
}

# inject WHAT SETTING=VALUE...: how the kernel's fault injection behaves
inject()
{
	where=/sys/kernel/debug/$1
	shift
	for setting; do
		echo "${setting#*=}" >"$where/${setting%%=*}" || return 1
	done
}

# pages_fail PERCENT MARKED: for who may not wait for them; Y: for marked processes
pages_fail()
{
	inject fail_page_alloc "probability=$1" "task-filter=$2" interval=1 times=-1 verbose=0 \
		min-order=0 ignore-gfp-wait=Y
}

# marked COMMAND...: with all its children
marked()
{
	(echo 1 >/proc/self/make-it-fail && "$@")
}

# What writes gave back goes to the shrinkers: only then do writes allocate
drain()
{
	while [ -e /tmp/busy ]; do
		echo 2 >/proc/sys/vm/drop_caches
		sleep 0.2
	done
}

# dry NAME [FIO OPTION...]: verified load while there are no used pages; who had to
# wait for memory is in /tmp/reserve, "NAME-PID … vmcrypt_reserve: bytes=N left=N", and
# what was left to workers in /tmp/queued, "NAME-PID … function=NAME …"
dry()
{
	name=$1
	shift
	trace=/sys/kernel/tracing/instances/torture
	mkdir $trace && echo 4096 >$trace/buffer_size_kb &&
		echo 1 >$trace/events/vmcrypt/vmcrypt_reserve/enable &&
		echo 1 >$trace/events/workqueue/workqueue_queue_work/enable || return 1
	touch /tmp/busy
	drain &
	verify "$name" "$DISK" 16 "$@"
	result=$?
	rm /tmp/busy
	wait $!
	grep vmcrypt_reserve: $trace/trace >/tmp/reserve
	grep workqueue_queue_work: $trace/trace >/tmp/queued
	echo 0 >$trace/events/enable
	rmdir $trace && return $result
}

# waited WHO BYTES PAGES: who waited for so many bytes, and left at most so many
# pages in the reserve
waited()
{
	times=$(awk -v who="$1" -v bytes="bytes=$2" -v pages="$3" '
		$1 ~ "^(" who ")-[0-9]+$" && index($0, bytes) {
			sub(/.*left=/, "")
			times += $0 + 0 <= pages
		}
		END { print times + 0 }' /tmp/reserve)
	echo "# $1 waited $times times for ${2:-any} bytes and left at most $3 pages"
	[ "$times" -gt 0 ] || { tail -n 3 /tmp/reserve | sed 's/^/# /'; return 1; }
}

# helped: helpers have no memory, and leave what they have taken to workers, who wait
helped()
{
	for comm in /proc/[0-9]*/comm; do
		! grep -q '^vmcrypt/' "$comm" || echo 1 >"${comm%/*}/make-it-fail" || return 1
	done
	dry deep-helped --bsrange=4k-4k --blockalign=4k --iodepth=48 || return 1
	times=$(grep -c '^ *vmcrypt/[0-9]*-.*function=take_up_work' /tmp/queued)
	echo "# helpers left $times writes to workers"
	[ "$times" -gt 0 ]
}

# without_faults STATUS: nothing is injected any more; the status is that one
without_faults()
{
	pages_fail 0 N && inject fail_make_request probability=0 && return "$1"
}

# The reserve has 33 pages, and who submits gets no other: a megabyte is cut to that
reserve()
{
	pages_fail 100 Y || return 1
	marked dry sync-4k --bsrange=4k-4k --blockalign=4k --ioengine=psync --iodepth=1 && waited fio 4096 32 &&
		marked dry sync-1m --bsrange=1m-1m --blockalign=4k --ioengine=psync --iodepth=1 && waited fio 131072 1 &&
		marked dry deep-4k --bsrange=4k-4k --blockalign=4k && waited 'fio|iou-wrk.*' 4096 32 &&
		helped
}

step_reserve()
{
	device=$(ram 32)
	attach "$device" || return 1
	reserve
	without_faults $? && detach && losetup -d "$device"
}

# bios fail below vmcrypt before they reach the device
step_bios()
{
	device=$(ram 32)
	attach "$device" && echo 1 >"/sys/block/${device#/dev/}/make-it-fail" || return 1
	inject fail_make_request probability=5 interval=1 times=-1 verbose=0 task-filter=N && survive bios 24
	without_faults $? && verify bios-no-more "$DISK" 8 && detach && losetup -d "$device"
}

step_keys()
{
	key rounds "$ROUNDS"
}

step_disks()
{
	# 64 KiB each
	device=$(ram $((DISKS / 16 + 1))) && key disks "$DISKS" "$device" && losetup -d "$device"
}

# raw, in each sector size and with each way to submit
step_verify()
{
	device=$(ram 32)
	for sector in 512 1024 2048 4096; do
		attach "$device" "1 sector_size:$sector" || return 1
		# sectors in pieces, as only the kernel can submit them
		insmod /torture/segments.ko "device=$DISK" "sector_size=$sector" && rmmod segments || return 1
		verify "raw-$sector" "$DISK" 24 "--bsrange=$sector-256k" "--blockalign=$sector" &&
		verify "fixed-$sector" "$DISK" 16 "--bsrange=$sector-64k" "--blockalign=$sector" \
			--fixedbufs=1 --registerfiles=1 &&
		verify "sync-$sector" "$DISK" 16 "--bsrange=$sector-1m" "--blockalign=$sector" --ioengine=psync --iodepth=1 ||
			return 1
		detach || return 1
	done
	losetup -d "$device"
}

# null_disk SETTING=VALUE...: a null_blk of 64 MiB that keeps what is written; prints
# the device, which is named after its folder, or by a number in older kernels
null_disk()
{
	null=/sys/kernel/config/nullb/torture
	mkdir $null || return 1
	for setting in size=64 memory_backed=1 "$@" power=1; do
		echo "${setting#*=}" >"$null/${setting%%=*}" || return 1
	done
	[ -e /dev/torture ] && echo /dev/torture || echo "/dev/nullb$(cat $null/index)"
}

null_gone()
{
	echo 0 >/sys/kernel/config/nullb/torture/power && rmdir /sys/kernel/config/nullb/torture
}

# completed in timers' interrupts
step_interrupts()
{
	device=$(null_disk irqmode=2 completion_nsec=20000 submit_queues=2) && attach "$device" &&
		verify interrupts "$DISK" 24 && detach && null_gone
}

# What goes by another queue than the polled one takes seconds there, and what fio
# does not find soon is an error. Of what is split nothing would be polled. null_blk
# gives up after 5 s.
step_polled()
{
	device=$(null_disk irqmode=2 completion_nsec=4000000000 submit_queues=2 poll_queues=1) || return 1
	# null_blk in 6.1 asks for memory while it is polled, under RCU: it shall have it
	dd if=/dev/zero of="$device" bs=1M count=8 conv=fsync 2>/tmp/dd.err ||
		{ sed 's/^/# dd: /' /tmp/dd.err; return 1; }
	attach "$device" || return 1
	dm=dm-$(dmsetup info -c --noheadings -o minor torture)
	[ "$(cat "/sys/block/$dm/queue/io_poll")" = 1 ] || { echo "# $dm does not poll"; return 1; }
	polled polled && polled polled-fixed --fixedbufs=1 --registerfiles=1 && detach && null_gone
}

# polled NAME [FIO OPTION...]: written and read
polled()
{
	name=$1
	shift
	verify "$name" "$DISK" 8 --hipri=1 --bsrange=512-64k --iodepth=8 --max_latency=3500ms "$@"
}

step_ext4()
{
	file_system mkfs.ext4 -q -F
}

step_xfs()
{
	file_system mkfs.xfs -q -f
}

check_ext4()
{
	e2fsck -f -n "$1" >/tmp/fsck 2>&1 || { sed 's/^/# /' /tmp/fsck; return 1; }
}

check_xfs()
{
	xfs_repair -n "$1" >/tmp/fsck 2>&1 || { sed 's/^/# /' /tmp/fsck; return 1; }
}

# file_system MKFS...
file_system()
{
	type=${1#mkfs.}
	device=$(ram 384)
	attach "$device" || return 1
	"$@" "$DISK" && mkdir -p /tmp/mnt && mount -t "$type" "$DISK" /tmp/mnt &&
		verify "$type" /tmp/mnt/file 48 --bsrange=4k-256k --blockalign=4k &&
		verify "$type-buffered" /tmp/mnt/other 48 --direct=0 --ioengine=psync --iodepth=1 --end_fsync=1 &&
		umount /tmp/mnt && "check_$type" "$DISK" &&
		detach && losetup -d "$device"
}

# once: suspended, wiped, reloaded
life()
{
	dmsetup suspend torture && dmsetup resume torture &&
		dmsetup suspend --noflush torture && dmsetup resume torture &&
		key wipe 1 && sleep 0.02 && key set 1 >/dev/null &&
		key wipe 1 && dmsetup suspend --noflush torture && key set 1 >/dev/null &&
		dmsetup resume torture &&
		dmsetup table torture | dmsetup load torture && dmsetup resume torture
}

# once: the other CPU goes and comes
hotplug()
{
	echo 0 >/sys/devices/system/cpu/cpu1/online && sleep 0.1 &&
		echo 1 >/sys/devices/system/cpu/cpu1/online && sleep 0.1
}

# load: verified, until the trouble is over
load()
{
	passes=0
	while [ -e /tmp/busy ]; do
		verify load "$DISK" 8 || return 1
		passes=$((passes + 1))
	done
	echo "# $passes passes of the load"
}

# under TROUBLE: TURNS times, beside verified load
under()
{
	device=$(ram 32)
	attach "$device" || return 1
	touch /tmp/busy
	{ load && touch /tmp/loaded; } &
	status=0
	for turn in $(seq "$TURNS"); do
		"$1" || { echo "# $1 failed in turn $turn"; status=1; break; }
	done
	rm -f /tmp/busy
	wait
	rm /tmp/loaded && [ "$status" -eq 0 ] && detach && losetup -d "$device"
}

step_life()
{
	under life
}

step_hotplug()
{
	under hotplug
}

# once: the module does not go while it has a disk, and goes with its keys
unload()
{
	if rmmod dm-vmcrypt 2>/dev/null; then
		echo "# went while it was in use"
		return 1
	fi
}

# unloaded and loaded again, after load each time
step_rmmod()
{
	for turn in $(seq "$TURNS"); do
		under unload && rmmod dm-vmcrypt && insmod "$VMCRYPT_MODULE" || return 1
	done
}

# survive NAME MIB [FIO OPTION...]: verified load on a disk that fails at times;
# what a failed write left is not looked at, all else is (61: ENODATA, a medium error)
survive()
{
	name=$1 size=$2
	shift 2
	verify "$name" "$DISK" "$size" --continue_on_error=io \
		--ignore_error=EIO:61,EIO,EIO:61 "$@" || return 1
	errors=$(sed -n 's/.*errors *: total= *\([0-9]*\).*/\1/p' /tmp/fio.log)
	echo "# $name: ${errors:-0} errors met"
	[ "${errors:-0}" -gt 0 ]
}

# below vmcrypt: what answers late, and what fails each other second
step_flaky()
{
	device=$(ram 32)
	sectors=$(blockdev --getsz "$device")
	dmsetup create below --table "0 $sectors delay $device 0 2 $device 0 5" && attach /dev/mapper/below &&
		verify delay "$DISK" 8 && detach && dmsetup remove --retry below || return 1
	dmsetup create below --table "0 $sectors flakey $device 0 1 1" && attach_when_up /dev/mapper/below &&
		survive flakey 24 && detach && dmsetup remove --retry below && losetup -d "$device"
}

# its table may need a read that works
attach_when_up()
{
	for _ in 1 2 3 4 5 6; do
		attach "$1" 2>/dev/null && return
		sleep 0.5
	done
	return 1
}

# a SCSI disk with ten sectors that cannot be read, then pulled out under load
step_scsi()
{
	modprobe scsi_debug dev_size_mb=48 opts=2 || return 1
	sleep 1
	for path in /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*; do
		device=/dev/${path##*/}
	done
	attach "$device" && survive medium-errors 40 || return 1
	verify unplug "$DISK" 40 --time_based --runtime=60 >/dev/null &
	sleep 3
	echo 1 >"/sys/block/${device#/dev/}/device/delete"
	if wait $!; then
		echo "# the load did not notice"
		return 1
	fi
	grep '^verify:' /tmp/fio.err && return 1
	detach && rmmod scsi_debug
}

# content N: what file N of the log's file system holds
content()
{
	seq "$1" "$(($1 + 3000))"
}

# an ext4 on vmcrypt on dm-log-writes: files are written, each is marked in the
# log when its fsync has returned
record()
{
	dmsetup create log --table "0 $(blockdev --getsz "$1") log-writes $1 $2" && attach /dev/mapper/log || return 1
	mkfs.ext4 -q -F "$DISK" && mkdir -p /tmp/mnt && dmsetup message log 0 mark begun &&
		mount -t ext4 "$DISK" /tmp/mnt || return 1
	for file in $(seq "$FILES"); do
		content "$file" >"/tmp/mnt/$file" && sync "/tmp/mnt/$file" && dmsetup message log 0 mark "$file" ||
			return 1
	done
	umount /tmp/mnt && detach && dmsetup remove --retry log
}

# holds DEVICE MARK: a copy of it is sound once its journal was replayed, and has
# the files up to the mark
holds()
{
	dd if="$1" of=/tmp/copy bs=1M 2>/dev/null && copy=$(attach_loop /tmp/copy) && attach "$copy" &&
		mount -t ext4 "$DISK" /tmp/mnt || return 1
	for file in $(seq "$2"); do
		content "$file" | cmp -s - "/tmp/mnt/$file" || { echo "# file $file of $2 is lost"; return 1; }
	done
	umount /tmp/mnt
	e2fsck -n -f "$DISK" >/tmp/fsck 2>&1 || { sed 's/^/# /' /tmp/fsck; return 1; }
	detach && losetup -d "$copy"
}

# replayed to each flush, as if the power had been cut there
step_log()
{
	disk=$(ram 32)
	mv /tmp/ram /tmp/ram-disk
	log=$(ram 192)
	mv /tmp/ram /tmp/ram-log
	record "$disk" "$log" || return 1
	again=$(ram 32)
	flushes=0 checked=0 last=0
	while state=$(replay "$log" "$again" /tmp/replayed); do
		mark=${state##* }
		case $state in
		end*) break ;;
		*none) continue ;;
		*begun) mark=0 ;;
		esac
		flushes=$((flushes + 1))
		holds "$again" "$mark" || { echo "# after $state"; return 1; }
		checked=$((checked + 1)) last=$mark
	done
	echo "# $checked of $flushes flushes checked, the last with $last files"
	[ "${state%% *}" = end ] && [ "$last" = "$FILES" ] && [ "$checked" -ge "$FILES" ] &&
		losetup -d "$disk" && losetup -d "$log" && losetup -d "$again"
}

# a cgroup with less memory than what is in flight
step_pressure()
{
	device=$(ram 96)
	mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
	attach "$device" && mkswap "$DISK" >/dev/null && swapon "$DISK" &&
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p /sys/fs/cgroup/small &&
		echo $((24 << 20)) >/sys/fs/cgroup/small/memory.max || return 1
	(echo 0 >/sys/fs/cgroup/small/cgroup.procs &&
		perl -e '$n = 12000; $a[$_] = chr(33 + $_ % 90) x 4096 for 0..$n;
			for (0..$n) { die "page $_" if $a[$_] ne chr(33 + $_ % 90) x 4096 }') || return 1
	dmsetup status torture | sed 's/^/# status: /'
	[ "$(dmsetup status torture | cut -d ' ' -f 8)" -gt 1000 ] && swapoff "$DISK" && detach && losetup -d "$device"
}

# what runs a C program with TAP of its own is shown as it is
step()
{
	echo "# begin $1"
	begin=$(cut -d . -f 1 /proc/uptime)
	case $1 in
	faults | loads)
		"step_$1"
		;;
	*)
		echo 1..1
		if "step_$1"; then
			echo "ok 1 $1"
		else
			echo "not ok 1 $1"
		fi
		;;
	esac
	status=$?
	echo "# $1 took $(($(cut -d . -f 1 /proc/uptime) - begin)) s"
	echo "# end $1 $status"
	dmsetup remove_all --force >/dev/null 2>&1
}

# Every target made is a line of the log, and serial lines are slow
dmesg -n 5
modules || { echo "Bail out! dm-vmcrypt.ko does not load"; exit 1; }
for name; do
	case $name in
	kmemleak) sh /torture/kmemleak ;;
	*) step "$name" ;;
	esac
done
