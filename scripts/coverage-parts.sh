# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What scripts/coverage and scripts/coverage-kernel share. Sourced.

# coverage_table INFO TOTAL DEPTH: lines run and lines in all, of each path cut to
# DEPTH parts, and of the whole
coverage_table()
{
	awk -F '[:,]' -v top="$VMCRYPT_TOP/" -v total="$2" -v depth="$3" '
		$1 == "SF" {
			n = split(substr($2, length(top) + 1), part, "/")
			path = part[1]
			for (i = 2; i <= n && i <= depth; i++)
				path = path "/" part[i]
		}
		$1 == "LF" { lines[path] += $2; lines[total] += $2 }
		$1 == "LH" { ran[path] += $2; ran[total] += $2 }
		END { for (p in lines) printf "%s %d %d %.1f\n", p, ran[p], lines[p], 100 * ran[p] / lines[p] }' "$1" |
		sort
}

# coverage_tell INFO TOTAL DEPTH MIN: fails if the whole is below MIN percent
coverage_tell()
{
	local percent

	coverage_table "$1" "$2" "$3" | column -t -N "path,ran,lines,percent"
	percent=$(coverage_table "$1" "$2" "$3" | awk -v total="$2" '$1 == total { print int($4) }')
	[ "$percent" -ge "$4" ] || die "$percent % of the lines of $2/ are run by tests, at least $4 % should be"
}
