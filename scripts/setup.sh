#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the Debian packages that building and testing need: those that are
# missing, nothing else.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

BUILD_PACKAGES=(
	build-essential gcc-12 pkg-config bc kmod libelf-dev xz-utils file pahole
	libssl-dev libnl-3-dev libnl-genl-3-dev libcryptsetup-dev
	libdevmapper-dev libjansson-dev libsystemd-dev libudev-dev
	libtss2-dev libseccomp-dev uuid-dev
	libwebsockets-dev libsqlite3-dev libcurl4-openssl-dev
)

TEST_PACKAGES=(
	libcmocka-dev clang clang-tidy libclang-rt-dev sparse shellcheck python3 python3-yaml python3-pykmip
	python3-jsonschema curl lcov flex bison man-db mandoc jq perl
	qemu-system-x86 qemu-utils gnutls-bin swtpm swtpm-tools tpm2-tools
	busybox-static cpio zstd dmsetup cryptsetup-bin fio strace
	mmdebstrap e2fsprogs xfsprogs coreutils openssl rsync iproute2 systemd
)

usage()
{
	cat <<-EOF
	Usage: ${0##*/} [--build-only] [--list]

	Installs, by apt-get, what building (--build-only) and testing need.
	EOF
}

missing_packages()
{
	local package

	for package; do
		[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] ||
			echo "$package"
	done
}

packages=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}")
case ${1:-} in
"") ;;
--build-only) packages=("${BUILD_PACKAGES[@]}") ;;
--list) printf '%s\n' "${packages[@]}"; exit 0 ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac

mapfile -t missing < <(missing_packages "${packages[@]}")
if [ ${#missing[@]} -eq 0 ]; then
	say "all ${#packages[@]} packages are installed"
	exit 0
fi
[ "$(id -u)" -eq 0 ] || die "run this as root; missing: ${missing[*]}"

say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt_options=(-y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
if ! apt-get install "${apt_options[@]}" "${missing[@]}" </dev/null; then
	say "the package lists may be old: updating them"
	apt-get update </dev/null
	apt-get install "${apt_options[@]}" "${missing[@]}" </dev/null
fi
