# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What scripts/bench and scripts/bench-real share. Sourced.

BENCH=$VMCRYPT_BUILD/bench

# tool_build NAME SOURCE: a program on top of the kernel tests' library
tool_build()
{
	local tests=$VMCRYPT_TOP/tests/kernel

	gcc -std=gnu11 -O2 -Wall -Wextra -Wno-sign-compare -D_GNU_SOURCE "-I$tests" \
		-o "$1" "$2" "$tests"/lib_*.c -lcrypto -lpthread
}

# bench_build VERSION: the module, the programs and scripts for the machine
bench_build()
{
	local version=$1 parts=$BENCH/$1

	mkdir -p "$parts/files" "$parts/bare"
	"$VMCRYPT_TOP/scripts/build-module" "$version" >"$parts/module.log" 2>&1 ||
		{ tail -n 20 "$parts/module.log" >&2; die "dm-vmcrypt.ko does not build for $version"; }
	cp "$VMCRYPT_TOP"/tests/bench/{Kbuild,xts_bare.c} "$parts/bare/"
	make -s -C "$(kernel_dir "$version")/headers" "M=$parts/bare" W=1 modules >&2
	cp "$parts/bare/xts_bare.ko" "$VMCRYPT_TOP"/tests/bench/*.sh "$parts/files/"
	tool_build "$parts/files/load_key" "$VMCRYPT_TOP/tests/bench/load_key.c"
}
