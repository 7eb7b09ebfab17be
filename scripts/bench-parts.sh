# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What scripts that run machines with tools of their own share. Sourced.

BENCH=$VMCRYPT_BUILD/bench

# tool_build NAME SOURCE: a program on top of the kernel tests' library
tool_build()
{
	local tests=$VMCRYPT_TOP/tests/kernel objects=$VMCRYPT_BUILD/tools

	mkdir -p "$objects"
	(
		exec 5>"$objects/lock"
		flock 5
		if [ ! -e "$objects/lib.a" ] || [ -n "$(find "$tests" -name '*.[ch]' -newer "$objects/lib.a")" ]; then
			(cd "$objects" && gcc -std=gnu11 -O2 -D_GNU_SOURCE "-I$tests" -c "$tests"/lib_*.c &&
				ar rcs lib.a.part lib_*.o && mv lib.a.part lib.a)
		fi
	)
	gcc -std=gnu11 -O2 -Wall -Wextra -Wno-sign-compare -D_GNU_SOURCE "-I$tests" \
		-o "$1" "$2" "$objects/lib.a" -lcrypto -lpthread
}

# test_module VERSION FOLDER NAME: builds modules for tests from FOLDER of tests/,
# prints the path of NAME.ko
test_module()
{
	local parts=$VMCRYPT_BUILD/modules-$1/$2

	mkdir -p "$parts"
	(
		exec 5>"$parts/lock"
		flock 5
		cp "$VMCRYPT_TOP/tests/$2/Kbuild" "$VMCRYPT_TOP/tests/$2"/"$3".c "$parts/"
		make -s -C "$(kernel_dir "$1")/headers" "M=$parts" W=1 modules 2> >(grep -v "^Skipping BTF" >&2 || true) >&2
	)
	echo "$parts/$3.ko"
}

# bench_build VERSION: the module, the programs and scripts for the machine
bench_build()
{
	local version=$1 parts=$BENCH/$1

	mkdir -p "$parts/files"
	"$VMCRYPT_TOP/scripts/build-module" "$version" >"$parts/module.log" 2>&1 ||
		{ tail -n 20 "$parts/module.log" >&2; die "dm-vmcrypt.ko does not build for $version"; }
	cp "$(test_module "$version" bench xts_bare)" "$VMCRYPT_TOP"/tests/bench/*.sh "$parts/files/"
	tool_build "$parts/files/load_key" "$VMCRYPT_TOP/tests/bench/load_key.c"
}
