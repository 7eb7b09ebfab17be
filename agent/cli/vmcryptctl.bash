# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Completion of vmcryptctl for bash. Words and options come from its help
# texts, names of providers and disks from the agent.

# The help text of the words given, nothing when they are no command. The
# commands of a manager are others than the agent's.
_vmcryptctl_help() {
	vmcryptctl ${manager:+--manager "$manager"} "$@" --help 2>/dev/null
}

# Names in the agent's answer: --json puts one member on a line. Names that
# JSON has to escape are left out.
_vmcryptctl_names() {
	timeout 2 vmcryptctl "$1" list --json 2>/dev/null |
		sed -n 's/^ *"name": "\([^"\\]*\)",*$/\1/p'
}

# The n-th words of the commands that help lists.
_vmcryptctl_words() {
	local column=$1 noun=${2-}

	if [ -n "$noun" ]; then
		_vmcryptctl_help "$noun"
	else
		_vmcryptctl_help
	fi | awk -v n="$column" '
		/^Commands:$/ { on = 1; next }
		/^$/ { on = 0 }
		on && substr($0, 3, 22) ~ /^[a-z]/ { split(substr($0, 3, 22), w, " "); print w[n] }' |
		sort -u
}

# Options, or, with a name, the word that stands for its value.
_vmcryptctl_options() {
	local noun=$1 verb=$2 option=${3-}

	_vmcryptctl_help ${noun:+"$noun"} ${verb:+"$verb"} | awk -v option="$option" '
		/^ +(-[a-z], )?--/ && match($0, /--[a-z-]+/) {
			name = substr($0, RSTART, RLENGTH)
			rest = substr($0, RSTART + RLENGTH + 1)
			if (option == "")
				print name
			else if (name == option && rest ~ /^[^ ]/) {
				split(rest, w, " ")
				print w[1]
			}
		}'
}

# What may stand at the place of a value.
_vmcryptctl_values() {
	local noun=$1 verb=$2 value=$3

	# Names at a manager would want a session
	case ${manager:+manager:}$noun.$verb:$value in
	provider.*:NAME|disk.create:NAME)
		_vmcryptctl_names provider ;;
	disk.attach:NAME)
		;;
	disk.*:NAME)
		_vmcryptctl_names disk ;;
	*:*\|*)
		tr '|' '\n' <<<"$value" ;;
	*:native)
		echo native ;;
	esac
}

# The n-th positional argument of a command, as its help names it.
_vmcryptctl_positional() {
	local noun=$1 verb=$2 n=$3

	_vmcryptctl_help "$noun" ${verb:+"$verb"} | awk -v n="$n" '
		/^Arguments:$/ { on = 1; next }
		/^$/ { on = 0 }
		on && ++i == n { print $1 }'
}

_vmcryptctl_takes_value() {
	[ -n "$(_vmcryptctl_options "$noun" "$verb" "$1")" ]
}

_vmcryptctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local noun='' verb='' positionals=0 skip='' word value='' words manager='' before=''

	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		if [ -n "$skip" ]; then
			[ "$before" != --manager ] || manager=$word
			skip=''
		elif [[ $word == --* ]]; then
			if [[ $word != *=* ]] && _vmcryptctl_takes_value "$word"; then
				skip=yes
			fi
		elif [ -z "$noun" ]; then
			noun=$word
		elif [ -z "$verb" ] && [[ $noun != @(status|about) ]]; then
			verb=$word
		else
			positionals=$((positionals + 1))
		fi
		before=$word
	done

	if [ -n "$skip" ]; then
		value=$(_vmcryptctl_options "$noun" "$verb" "$prev")
		words=$(_vmcryptctl_values "$noun" "$verb" "$value")
	elif [[ $cur == -* ]]; then
		words=$(_vmcryptctl_options "$noun" "$verb")
	elif [ -z "$noun" ]; then
		words=$(_vmcryptctl_words 1)
	elif [ -z "$verb" ] && [[ $noun != @(status|about) ]]; then
		words=$(_vmcryptctl_words 2 "$noun")
	else
		value=$(_vmcryptctl_positional "$noun" "$verb" $((positionals + 1)))
		words=$(_vmcryptctl_values "$noun" "$verb" "$value")
	fi

	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	case $value in
	FILE|DEVICE|PATH)
		compopt -o default 2>/dev/null
		COMPREPLY=() ;;
	esac
}

complete -F _vmcryptctl vmcryptctl
