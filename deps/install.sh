#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# deps/install.sh [GROUP...] -- installs what is missing of those groups of deps/packages (build, unless told).
# Says nothing when nothing is missing. Where there is no apt, it lists what is needed, and fails if the
# libraries that everything is built on are not there.
#
#   DEPS=check  names what is missing, and fails, instead of installing it (for builds by LuaRocks)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
[ $# -gt 0 ] || set -- build

# Prints the packages of group $1.
packages() {
	awk -v group="[$1]" '
		{ sub(/#.*/, "") }
		/^\[/ { on = ($1 == group); next }
		on && NF { print $1 }' "$here/packages"
}

wanted=()
for group in "$@"; do
	mapfile -t -O "${#wanted[@]}" wanted < <(packages "$group")
	if [ -z "$(packages "$group")" ]; then
		echo "deps/install.sh: no group [$group] in deps/packages" >&2
		exit 2
	fi
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	if pkg-config --exists luajit libuv 2>/dev/null; then
		exit 0
	fi
	{
		echo "deps/install.sh: no apt here, and pkg-config does not find luajit and libuv."
		echo "Install what these packages of Debian are called on this system, then run make again:"
		for group in "$@"; do
			sed -n "/^\\[$group\\]/,/^\$/{/^[^[]/p}" "$here/packages" | sed 's/^/  /'
		done
	} >&2
	exit 1
fi

missing=()
for package in "${wanted[@]}"; do
	# "ii": wanted and installed. A package that was removed may still be known.
	case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
	ii*) ;;
	*) [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package") ;; # groups overlap
	esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "${DEPS:-}" = check ]; then
	echo "deps/install.sh: install these packages first: ${missing[*]}" >&2
	exit 1
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then
	sudo=sudo
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Packages of another machine: is there a mirror that has them?
foreign=()
for arch in $(printf '%s\n' "${missing[@]}" | sed -n 's/.*://p' | sort -u); do
	if ! { dpkg --print-architecture && dpkg --print-foreign-architectures; } | grep -qx "$arch"; then
		foreign+=("$arch")
		$sudo dpkg --add-architecture "$arch"
	fi
done

# An update may fail for one archive of several; what counts is whether the packages can be installed.
echo "installing ${missing[*]}"
if ! {
	$sudo apt-get update || true
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
} >"$log" 2>&1; then
	cat "$log" >&2
	for arch in "${foreign[@]}"; do # as it was, or each later update would look for them
		echo "deps/install.sh: this system has no packages for $arch (multiarch)" >&2
		$sudo dpkg --remove-architecture "$arch"
	done
	echo "deps/install.sh: cannot install ${missing[*]}" >&2
	exit 1
fi
