# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Makes the initramfs of the kernel test machine: a base for each kernel, kept
# in the cache, and a payload for each run. Sourced by scripts/vm.

VM_PROGRAMS=(
	kmod dmsetup blockdev cryptsetup fio strace setpriv losetup unshare nsenter
	ip mkfs.ext4 e2fsck mkswap stdbuf timeout perl
)

# What the tests load by modprobe; dependencies come along. Names that one
# kernel has and the other has built in or not at all are left out.
VM_MODULES=(
	dm-mod dm-crypt dm-flakey dm-delay dm-log-writes dm-snapshot dm-integrity
	dm-zero dm-thin-pool dm-multipath dm-switch dm-era dm-writecache
	brd null_blk loop scsi_debug sd_mod zram nbd nvme ahci
	virtio_pci virtio_blk virtio_scsi virtio_net virtio_console virtio_rng
	aesni-intel cryptd xts ecb cbc ctr essiv gcm lrw pcrypt
	sha256-ssse3 crc32c-intel crc32c_generic curve25519-x86_64 libcurve25519
	libcurve25519-generic libchacha20poly1305 chacha-x86_64 poly1305-x86_64
	chacha20poly1305 algif_skcipher algif_hash af_alg tcrypt
	nlmon veth dummy tun ext4 xfs vfat tpm_tis tpm_crb
)

# skeleton ROOT: Debian's layout; links, never folders, at /lib and friends,
# or a later archive would take the place of an earlier one
skeleton()
{
	local name

	mkdir -p "$1"/usr/{bin,sbin,lib,lib64} "$1"/{dev,etc,proc,sys,vmcrypt}
	for name in bin sbin lib lib64; do
		ln -sfn "usr/$name" "$1/$name"
	done
}

# add_libraries ROOT FILE: the shared libraries that FILE needs
add_libraries()
{
	local library real

	{ ldd "$2" 2>/dev/null || true; } | sed -nE 's/^[^/]*(\/[^ ]+).*/\1/p' | sort -u |
	while read -r library; do
		[ -e "$library" ] || continue
		real=$(readlink -f "$(dirname "$library")")
		mkdir -p "$1$real"
		cp -Lu "$library" "$1$real/"
	done
}

# add_file ROOT SRC DST: a file, or a folder with all that is in it
add_file()
{
	local file

	[ -e "$2" ] || die "$2 does not exist"
	mkdir -p "$1$(dirname "$3")"
	cp -rLT "$2" "$1$3"
	find "$2" -follow -type f -perm -u+x | while read -r file; do
		add_libraries "$1" "$file"
	done
}

add_programs()
{
	local root=$1 program path

	for program in $(busybox --list); do
		ln -s busybox "$root/usr/bin/$program"
	done
	rm "$root/usr/bin/busybox"
	cp "$(command -v busybox)" "$root/usr/bin/busybox"
	for program in "${VM_PROGRAMS[@]}"; do
		path=$(command -v "$program") || die "$program is not installed: run scripts/setup.sh as root"
		rm -f "$root/usr/bin/$program"
		cp -L "$path" "$root/usr/bin/$program"
		add_libraries "$root" "$path"
	done
	for program in modprobe insmod rmmod lsmod modinfo depmod; do
		ln -sfn kmod "$root/usr/bin/$program"
	done
	# Where the kernel looks when it wants a module itself
	ln -sfn ../bin/kmod "$root/usr/sbin/modprobe"
}

# add_modules ROOT KERNEL RELEASE MODULE...: with what they depend on
add_modules()
{
	local root=$1 kernel=$2 release=$3 module file

	shift 3
	for module; do
		modprobe -d "$kernel" -S "$release" --show-depends "$module" 2>/dev/null || true
	done | sed -n "s|^insmod $kernel/||p" | sed 's/ .*//' | sort -u |
	while read -r file; do
		mkdir -p "$root/usr/$(dirname "$file")"
		case $file in
		*.xz) xz -dc "$kernel/$file" >"$root/usr/${file%.xz}" ;;
		*) cp "$kernel/$file" "$root/usr/$file" ;;
		esac
	done
	cp "$kernel/lib/modules/$release"/modules.{builtin,order}* "$root/usr/lib/modules/$release/"
	depmod -b "$root" "$release"
}

# pack ROOT ARCHIVE
pack()
{
	(cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$2.tmp"
	mv "$2.tmp" "$2"
}

# base_image VERSION: makes it unless the cache has it; prints its path
base_image()
{
	local kernel release key image root

	kernel=$(kernel_dir "$1")
	release=$(kernel_release "$1")
	key=$(cat "$VMCRYPT_TOP"/scripts/vm-{init,image.sh} <(dpkg-query -W) | sha256sum | cut -c 1-16)
	image=$VMCRYPT_CACHE/vm/$release-$key.cpio
	echo "$image"
	[ ! -e "$image" ] || return 0

	say "making the test machine's base image for $release"
	mkdir -p "$VMCRYPT_CACHE/vm"
	# Another checkout may be about to use a young one
	find "$VMCRYPT_CACHE/vm" -name "$release-*.cpio" -mmin +720 -delete
	root=$(mktemp -d "$VMCRYPT_CACHE/tmp-vm-XXXXXX")
	skeleton "$root"
	add_programs "$root"
	add_modules "$root" "$kernel" "$release" "${VM_MODULES[@]}"
	cp "$VMCRYPT_TOP/scripts/vm-init" "$root/init"
	chmod 755 "$root/init"
	echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
	echo nobody:x:65534:65534:nobody:/:/bin/sh >>"$root/etc/passwd"
	echo root:x:0: >"$root/etc/group"
	pack "$root" "$image"
	rm -rf "$root"
}
