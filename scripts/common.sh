# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the scripts here share: where things are, how they speak and how they
# fail. Sourced, never run.

set -Eeuo pipefail
shopt -s inherit_errexit
# A command that fails unforeseen is named: nothing here dies in silence
trap 'say "${BASH_SOURCE[0]##*/}:$LINENO: failed with status $?: $BASH_COMMAND"' ERR

VMCRYPT_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VMCRYPT_BUILD=$VMCRYPT_TOP/build
VMCRYPT_CACHE=${VMCRYPT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmcrypt}
VMCRYPT_KERNELS=(6.1 6.12)

export VMCRYPT_TOP VMCRYPT_BUILD VMCRYPT_CACHE VMCRYPT_KERNELS

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# have COMMAND...: fails with a hint when one of them is not installed
have()
{
	local command

	for command; do
		command -v "$command" >/dev/null ||
			die "$command is not installed: run scripts/setup.sh as root"
	done
}

# number OPTION VALUE: fails unless VALUE is a number, decimal or hexadecimal
number()
{
	[[ $2 =~ ^(0x[0-9a-fA-F]+|[0-9]+)$ ]] || die "$1 wants a number, not \"$2\""
}

# cache_lock NAME: only one process at a time fills one part of the cache.
# The lock is held until the calling shell ends.
cache_lock()
{
	mkdir -p "$VMCRYPT_CACHE"
	exec {VMCRYPT_LOCK_FD}>"$VMCRYPT_CACHE/.lock-$1"
	if ! flock --nonblock "$VMCRYPT_LOCK_FD"; then
		say "waiting for another process that fills the cache ($1)"
		flock "$VMCRYPT_LOCK_FD"
	fi
}

# kernel_dir VERSION: where the unpacked kernel lives
kernel_dir()
{
	printf '%s/kernel-%s\n' "$VMCRYPT_CACHE" "$1"
}

# kernel_fetch VERSION: brings it into the cache, unless it is there
kernel_fetch()
{
	case $1 in
	debug-*) "$VMCRYPT_TOP/scripts/debug-kernel" "$1" ;;
	*) "$VMCRYPT_TOP/scripts/kernels.sh" "$1" ;;
	esac
}

# kernel_release VERSION: the release string, as uname -r has it
kernel_release()
{
	cat "$(kernel_dir "$1")/release"
}
