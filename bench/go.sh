#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prints the path of a Go to compare with: the newest that this machine's Debian mirror has and that runs here.
#
# Nothing on the system changes: the package lists are private, and the packages are unpacked under build/go, not
# installed. The mirror is read from the machine's own apt configuration, so proxies and local mirrors are honoured.
# GO=/path/to/go takes that one instead. A second run prints the cached path; `rm -r build/go` looks anew.
# Exits 1, after one line on stderr, where no Go can be had.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/build/go
unpacked=$cache/root # the unpacked packages; appears only when complete
trial=$cache/trial   # where they are tried; removed whatever happens
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

find_go() { # DIR: the go binary of packages unpacked in DIR
	find "$1/usr/lib" -path '*/go-*/bin/go' -print -quit 2>/dev/null
}

# Private lists and archives; the other settings (proxy, keys, dates) stay the machine's own. Sandbox::User because
# the checkout need not be readable by apt's own user.
apt_private() {
	local command=$1
	shift
	"$command" \
		-o Dir::Etc::SourceList="$trial/apt/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State="$trial/apt/state" -o Dir::State::Status=/dev/null -o Dir::Cache="$trial/apt/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# This release, its backports, and those of Debian that come after it: a Go built there usually runs here too, since
# it needs little of the C library. A suite that the mirror lacks is no error.
write_sources() {
	local codename options='' uri release suite
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# Newer images trust Debian's keys only where a source names them.
	[[ -r $keyring ]] && options="[signed-by=$keyring] "
	# shellcheck disable=SC2016 # the dollars are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
		while read -r uri release; do
			[[ $release == *[-/]* ]] && continue # -updates, -security: the same or another archive, without Go
			for suite in "${codename:-stable}" "${codename:-stable}-backports" stable-backports unstable; do
				echo "deb $options$uri $suite main"
			done
		done | sort -u >"$trial/apt/sources.list"
}

# "package version" lines, newest first; release candidates are left out: the comparison is with what people run.
candidates() {
	local packages
	packages=$(apt_private apt-cache pkgnames golang-1. | grep -E '^golang-1\.[0-9]+-go$') || return 0
	# shellcheck disable=SC2086 # one word per package
	apt_private apt-cache madison $packages | awk '$3 !~ /~(rc|beta)/ { print $1, $3 }' | sort -u | sort -k2,2Vr
}

# unpack PACKAGE VERSION: the compiler and its library (whose version lacks the mark of a rebuild), if they run here.
unpack() {
	local package=$1 version=$2 deb go
	rm -rf "$trial/root" "$trial/debs"
	mkdir -p "$trial/root" "$trial/debs"
	(cd "$trial/debs" && apt_private apt-get -qq download \
		"$package=$version" "${package%-go}-src=${version%+b[0-9]*}") || return
	for deb in "$trial"/debs/*.deb; do
		dpkg-deb -x "$deb" "$trial/root" || return
	done
	go=$(find_go "$trial/root")
	[[ -n $go ]] && GOTOOLCHAIN=local "$go" version && GOTOOLCHAIN=local "$go" tool compile -V
}

install_go() {
	local package version
	rm -rf "$trial"
	mkdir -p "$trial"/apt/{state/lists/partial,cache/archives/partial}
	trap 'rm -rf "$trial"' EXIT
	write_sources
	apt_private apt-get -qq update || true # suites that do not exist fail; the others are there
	while read -r package version; do
		echo "bench: trying $package $version"
		if unpack "$package" "$version"; then
			rm -rf "$unpacked"
			mv "$trial/root" "$unpacked"
			return
		fi
	done < <(candidates)
	return 1
}

if [[ -n ${GO:-} ]]; then
	echo "$GO"
	exit
fi
if [[ -z $(find_go "$unpacked") ]]; then
	mkdir -p "$cache"
	# What apt has to say is of interest only where it ends badly.
	if ! command -v apt-get >/dev/null || ! install_go >"$cache/log" 2>&1; then
		if go=$(command -v go); then
			echo "$go"
			exit
		fi
		echo "bench: no Go to be had from this machine's Debian mirror (see build/go/log); going on without" >&2
		exit 1
	fi
fi
find_go "$unpacked"
