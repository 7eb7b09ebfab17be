#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Brings Debian's kernels into the cache without installing them: installing
# takes minutes for each and changes the machine, unpacking takes seconds.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

usage()
{
	cat <<-EOF
	Usage: ${0##*/} [--update] [6.1|6.12|source]...

	Downloads and unpacks into $VMCRYPT_CACHE:
	  kernel-6.1, kernel-6.12   image, modules and headers; "headers" in it is
	                            a tree for make -C …/headers M=… modules,
	                            "vmlinuz" the image, "release" the release
	  source                    from Debian's kernel source package: kselftest
	                            harness, checkpatch, licence texts
	Without names: all of them. What is there already is left alone, unless
	--update is given.
	EOF
}

# Debian's own kernel of the release has no version in its package's name
image_package()
{
	local package=linux-image-$1-amd64

	[ "$1" = 6.1 ] && package=linux-image-amd64
	echo "$package"
}

# depends_of PACKAGE PATTERN: what PACKAGE depends on, filtered
depends_of()
{
	apt-cache depends --no-recommends --no-suggests "$1" |
		sed -n 's/^ *|\{0,1\}Depends: //p' | grep -E "$2" | head -n 1
}

# newest_release VERSION: the newest ABI of this kernel that Debian has
newest_release()
{
	local release

	release=$(depends_of "$(image_package "$1")" "^linux-image-$1[.0-9]") || true
	if [ -z "$release" ]; then
		say "no kernel $1 in the package lists: updating them"
		apt-get update >&2
		release=$(depends_of "$(image_package "$1")" "^linux-image-$1[.0-9]") || true
	fi
	[ -n "$release" ] || die "Debian has no kernel $1 here: is this Debian 12 with its security updates?"
	echo "${release#linux-image-}"
}

# download DIRECTORY PACKAGE...
download()
{
	local directory=$1

	shift
	mkdir -p "$directory"
	say "downloading $*"
	(cd "$directory" && apt-get -q download "$@" >&2) 2> >(grep -v unsandboxed >&2) && return
	say "the package lists may be old: updating them"
	apt-get update >&2
	(cd "$directory" && apt-get -q download "$@" >&2)
}

# The packages expect to lie at /usr/src: point what holds that into the cache
relocate()
{
	local work=$1 final=$2 release=$3
	local headers=$work/usr/src/linux-headers-$release
	local link

	sed -i "s|/usr/src/|$final/usr/src/|g" "$headers/Makefile" "$headers/.kernelvariables"
	while read -r link; do
		ln -sfn "$final$(readlink "$link")" "$link"
	done < <(find "$work" -type l -lname '/usr/*' -o -type l -lname '/lib/*')
	ln -sfn "usr/src/linux-headers-$release" "$work/headers"
	ln -sfn "boot/vmlinuz-$release" "$work/vmlinuz"
	echo "$release" >"$work/release"
}

fetch_kernel()
{
	local version=$1 final work release kbuild deb

	final=$(kernel_dir "$version")
	release=$(newest_release "$version")
	if [ -e "$final/release" ] && [ "$(cat "$final/release")" = "$release" ]; then
		say "kernel $release is the newest one already"
		return
	fi
	kbuild=$(depends_of "linux-headers-$release" '^linux-kbuild-')
	work=$(mktemp -d "$VMCRYPT_CACHE/tmp-kernel-XXXXXX")
	download "$work/debs" "linux-image-$release" "linux-headers-$release" \
		"linux-headers-${release%-amd64}-common" "$kbuild"
	say "unpacking kernel $release"
	mkdir "$work/root"
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/root"
	done
	relocate "$work/root" "$final" "$release"
	depmod -b "$work/root" "$release"
	if [ -e "$final" ]; then
		mv "$final" "$work/old"
	fi
	mv "$work/root" "$final"
	rm -rf "$work"
}

fetch_source()
{
	local final=$VMCRYPT_CACHE/source work tarball

	work=$(mktemp -d "$VMCRYPT_CACHE/tmp-source-XXXXXX")
	download "$work/debs" linux-source-6.1
	say "unpacking parts of the kernel source"
	mkdir "$work/root"
	dpkg-deb --fsys-tarfile "$work"/debs/*.deb |
		tar -x -C "$work" --strip-components=3 --wildcards './usr/src/linux-source-*.tar.xz'
	tarball=$(echo "$work"/linux-source-*.tar.xz)
	tar -x -J -f "$tarball" -C "$work/root" --strip-components=1 --wildcards \
		'*/LICENSES/*' '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' \
		'*/scripts/const_structs.checkpatch' '*/scripts/spdxcheck.py' \
		'*/scripts/subarch.include' '*/tools/scripts/Makefile.*' \
		'*/tools/testing/selftests/Makefile' '*/tools/testing/selftests/*.mk' \
		'*/tools/testing/selftests/kselftest*'
	rm -rf "$final"
	mv "$work/root" "$final"
	rm -rf "$work"
}

# complete NAME: has the cache this part, whole?
complete()
{
	case $1 in
	source) [ -e "$VMCRYPT_CACHE/source/tools/testing/selftests/lib.mk" ] ;;
	*) [ -e "$(kernel_dir "$1")/release" ] ;;
	esac
}

fetch()
{
	if complete "$1" && [ "$update" = no ]; then
		return
	fi
	case $1 in
	source) fetch_source ;;
	*) fetch_kernel "$1" ;;
	esac
}

update=no
names=()
for argument; do
	case $argument in
	--update) update=yes ;;
	6.1 | 6.12 | source) names+=("$argument") ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
[ ${#names[@]} -gt 0 ] || names=("${VMCRYPT_KERNELS[@]}" source)

have apt-get dpkg-deb depmod tar xz
cache_lock kernels
for name in "${names[@]}"; do
	fetch "$name"
done
