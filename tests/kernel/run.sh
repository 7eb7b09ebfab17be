#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs the test programs beside it (all, or those named) as root and prints one
# TAP stream, each test of each program a line of its own. After each program
# the kernel log must be free of complaints. Exits 1 when anything failed.

cd "$(dirname "$0")" || exit 1

PROGRAMS="abi vectors compat data shapes limits faults table grammar messages keys
	permissions life suspend upcall pending cipher secrets helpers stress"
# needs the module of modules/segments.c, built for this kernel
[ -z "$VMCRYPT_SEGMENTS" ] || PROGRAMS="$PROGRAMS segments"
SECONDS_EACH=${VMCRYPT_TEST_TIMEOUT:-180}
COMPLAINTS='WARNING:|BUG:|Oops|general protection|Call Trace:|blocked for more|possible (circular|recursive)|refcount_t:|(list|slab) corruption|__kmem_cache_shutdown'

count=0
failed=0
skipped=0

result()
{
	count=$((count + 1))
	case $1 in
	ok) echo "ok $count $2" ;;
	skip) skipped=$((skipped + 1)); echo "ok $count $2" ;;
	*) failed=$((failed + 1)); echo "not ok $count $2" ;;
	esac
}

complaints()
{
	dmesg | grep -cE "$COMPLAINTS"
}

run_program()
{
	before=$(complaints)
	none=yes
	bad=no
	timeout -k 10 "$SECONDS_EACH" "./$1" >"$OUT" 2>&1
	status=$?
	while IFS= read -r line; do
		case $line in
		'ok '*'# SKIP'*) none=no; result skip "$1: ${line#ok * }" ;;
		'ok '*) none=no; result ok "$1: ${line#ok * }" ;;
		'not ok '*) none=no; bad=yes; result fail "$1: ${line#not ok * }" ;;
		'TAP version'* | [0-9]*..[0-9]* | '#  RUN '* | '#   '*OK*) ;;
		'#'*) printf '%s\n' "$line" ;;
		*) printf '# %s\n' "$line" ;;
		esac
	done <"$OUT"
	case $status in
	0 | 4) [ $none = no ] || result fail "$1: printed no result" ;;
	124 | 137) result fail "$1: ran longer than $SECONDS_EACH s" ;;
	*) [ $bad = yes ] || result fail "$1: ended with status $status" ;;
	esac
	after=$(complaints)
	if [ "$after" -ne "$before" ]; then
		dmesg | grep -E -A 30 "$COMPLAINTS" | tail -n 60 | sed 's/^/# /'
		result fail "$1: the kernel complained"
	fi
}

[ "$(id -u)" -eq 0 ] || { echo "1..0 # these tests need root"; exit 1; }
OUT=$(mktemp) || exit 1
trap 'rm -f "$OUT"' EXIT
echo "TAP version 13"
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $PROGRAMS
for program; do
	started=$(date +%s)
	run_program "$program"
	echo "# $program: $(($(date +%s) - started)) s"
done
echo "1..$count"
echo "# $((count - failed - skipped)) passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
