#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# deps/luajit.sh [OUTDIR] -- prepares the LuaJIT that the luapark executable is linked with, in OUTDIR
# (build/luajit beside this folder, unless told). LuaJIT is never vendored: its source comes from the
# distribution, is checked against deps/luajit.lock, and is built with -DLUAJIT_ENABLE_CHECKHOOK, so that
# compiled loops can be pre-empted.
#
#   LUAJIT=system       use the installed library as it is
#   LUAJIT_SRC=DIR      build a copy of that source directory
#   LUAJIT_PIN=TEXT     only the pins of deps/luajit.lock whose version contains TEXT; no fallback
#   LUAJIT_XCFLAGS=...  more flags for the build, e.g. -DLUAJIT_USE_VALGRIND
#   CC                  the C compiler (gcc)
#   RUN                 what runs the programs of a CC that is not this machine's (qemu-aarch64); the build is a cross
#                       build then, and gcc compiles what runs here
#
# OUTDIR holds, when this returns 0:
#   config.mk           make variables: LUAJIT_KIND, _CFLAGS, _LIBS, _CHECKHOOK, _PRIVATE, _PRIVATE_CFLAGS
#   version             what this is, in one line
#   include/ lib/       the public headers and libluajit.a           (not for LUAJIT=system)
#   share/jit/          the Lua modules of -jv, -jdump, -bl          (likewise)
#   src/                the sources as built, with private headers   (likewise)
#   download/           the source package, for the next build       (Debian's source only)
#
# What always holds: OUTDIR is complete or absent, since all work is done beside it and renamed at the end;
# it has passed deps/selftest; and a run whose inputs are those of OUTDIR does nothing and prints nothing.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$(dirname -- "$here")/build/luajit}
: "${CC:=gcc}" "${LUAJIT:=}" "${LUAJIT_SRC:=}" "${LUAJIT_PIN:=}" "${LUAJIT_XCFLAGS:=}" "${RUN:=}"
read -ra cc <<<"$CC" # it may be more than a word: ccache gcc
read -ra run <<<"$RUN"

# A calling make must not reach LuaJIT's own Makefile: CFLAGS given to ours would replace its own.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL CFLAGS CPPFLAGS LDFLAGS PREFIX MULTILIB CROSS
# The same for what would change the interpreters that are asked below.
unset LUA_INIT LUA_PATH LUA_CPATH

say() { printf 'luajit: %s\n' "$*"; }
die() { printf 'luajit: %s\n' "$*" >&2; exit 1; }

command -v "${cc[0]}" >/dev/null || die "no C compiler: $CC"

# Runs a command quietly; if it fails, shows what it printed.
quietly() {
	local rc=0
	"$@" >"$new/log" 2>&1 || rc=$?
	if [ "$rc" -ne 0 ]; then
		tail -n 60 "$new/log" >&2
	fi
	return "$rc"
}

# ---- Inputs ---------------------------------------------------------------------------------------------

# One text of all that decides what is built. The self-test is not in it: it has its own stamp, so that a
# new self-test does not mean a new build.
inputs() {
	echo "LUAJIT=$LUAJIT SRC=$LUAJIT_SRC PIN=$LUAJIT_PIN XCFLAGS=$LUAJIT_XCFLAGS LUA52COMPAT=$(lua52compat)"
	sha256sum <"$here/../src/base/errno.h"
	# The compiler by its file and version: cc and gcc are mostly one.
	echo "CC=$(readlink -f "$(command -v "${cc[0]}")") ${cc[*]:1} $("${cc[@]}" -dumpmachine) $("${cc[@]}" -dumpversion)"
	if [ -n "$LUAJIT_SRC" ]; then
		(cd -- "$LUAJIT_SRC" && find . -name .git -prune -o -type f -print0 | sort -z | xargs -0r sha256sum)
	fi
	sha256sum <"$here/luajit.sh"
	sha256sum <"$here/luajit.lock"
}

# Whether the distribution's luajit speaks Lua 5.2's extensions (there, coroutine.running answers in the
# main program too): scripts must see the same language. Debian 12's does not, Debian 13's does.
# Empty when there is no luajit to ask.
lua52compat() {
	luajit -e 'io.write(coroutine.running() and "1" or "0")' 2>/dev/null || true
}

# ---- Getting the source ---------------------------------------------------------------------------------

# Prints the pins of the lock file, one "VERSION SUITE" per line, best first.
pins() {
	awk -v want="$LUAJIT_PIN" '$1 == "pin" && index($2, want) { print $2, $3 }' "$here/luajit.lock"
}

# Prints the checksums of pin $1 as sha256sum -c wants them.
checksums() {
	awk -v version="$1" '
		$1 == "pin" { on = ($2 == version); next }
		on && NF == 2 { print $1 "  " $2 }' "$here/luajit.lock"
}

# apt-get with a state of its own in $new/apt: the machine's apt configuration (proxies, certificates)
# counts, its lists and its package state are neither used nor changed.
apt_get() {
	apt-get -qq \
		-o Dir::Etc::SourceList="$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
		-o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 "$@"
}

# Fetches the index of sources of suite $1, from each archive that this machine's own configuration names
# for its release: a mirror carries all suites. Archives that are not Debian's fail on the signature.
fetch_index() {
	local suite=$1 release keyring uri
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	[ "$suite" != - ] || suite=$release
	for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do
		[ ! -e "$keyring" ] || break
	done
	[ -n "$keyring" ] || return 1
	rm -rf "$new/apt"
	mkdir -p "$new/apt/lists/partial" "$new/apt/cache/archives/partial"
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v release="$release" '$2 ~ "^(" release "|stable|testing|sid|unstable)$" && $3 == "main" { print $1 }' |
		sort -u |
		while read -r uri; do
			echo "deb-src [signed-by=$keyring] $uri $suite main"
		done >"$new/apt/sources.list"
	[ -s "$new/apt/sources.list" ] || return 1
	# One of several archives may fail; what counts is whether the package is found. No retries: without a
	# network, each suite would wait for them in turn.
	apt_get -o Acquire::Retries=0 update >>"$new/apt.log" 2>&1 || true
}

# Puts the source package of pin $1, of suite $2, in $new/download: from the last build, or from the archive.
download() {
	rm -rf "$new/download"
	if (cd "$out/download" && checksums "$1" | sha256sum --check --status) 2>/dev/null; then
		cp -rp "$out/download" "$new/download"
		return 0
	fi
	mkdir "$new/download"
	fetch_index "$2" || return 1
	(cd "$new/download" && apt_get source --download-only --only-source "luajit=$1") >>"$new/apt.log" 2>&1
}

# Gets the first pin that can be had and unpacks it, with Debian's patches, in $new/tree. Sets version.
fetch_debian() {
	local suite
	for tool in apt-get dpkg-source; do
		command -v "$tool" >/dev/null || return 1
	done
	while read -r version suite; do
		download "$version" "$suite" || continue
		(cd "$new/download" && checksums "$version" | sha256sum --check --quiet) >&2 ||
			die "the source of $version is not the one that deps/luajit.lock names"
		# apt has checked the archive's signature, and we the sums.
		quietly dpkg-source --no-check -x "$new/download/luajit_$version.dsc" "$new/tree" ||
			die "cannot unpack $version"
		return 0
	done < <(pins)
	return 1
}

# Debian 12's source, built to check hooks, hangs in pairs: rec_itern finds the end of a loop by comparing
# the number of IR instructions, and does not count the three that the hook check has emitted by then.
# LuaJIT's own repair (commit d4b6bb80, June 2022) counts them; so does this, for both comparisons and for the
# place where the profiler's instruction is looked for.
repair_itern() {
	local file=$new/tree/src/lj_record.c changed
	cp "$file" "$new/lj_record.c"
	sed -i -e 's/(J->cur\.nins > REF_FIRST+1 ||$/(J->cur.nins > REF_FIRST+4 ||/' \
		-e 's/(J->cur\.nins == REF_FIRST+1 && J->cur\.ir\[REF_FIRST\]\.o != IR_PROF)/(J->cur.nins == REF_FIRST+4 \&\& J->cur.ir[REF_FIRST+3].o != IR_PROF)/' \
		"$file"
	changed=$(diff "$new/lj_record.c" "$file" | grep -c '^>.*REF_FIRST+4') || true
	[ "$changed" = 2 ] || die "cannot repair rec_itern in $version: the source is not as expected"
}

# On arm64 a negated difference of two products comes out with the wrong sign: -(a * b - c * d) is compiled to one
# fused instruction, always the one that is right where the second product is fused and wrong where the first is.
# (Its siblings are fused for -O+fma alone.) So sums alone are fused there, and only for that.
repair_fusenmadd() {
	local file=$new/tree/src/lj_asm_arm64.h
	local was='if (irn->o != IR_ADD && irn->o != IR_SUB)'
	[ -e "$file" ] || return 0
	sed -i "/^static int asm_fusenmadd/,/^}/ s/$was/if (!(as->flags \& JIT_F_OPT_FMA) || irn->o != IR_ADD)/" "$file"
	if sed -n '/^static int asm_fusenmadd/,/^}/ p' "$file" | grep -qF "$was"; then
		die "cannot repair asm_fusenmadd in $version: the source is not as expected"
	fi
}

# ---- Building -------------------------------------------------------------------------------------------

# Builds $new/tree and lays the result out in $new/out. Not LuaJIT's `amalg`, though Debian builds that:
# there all internal functions are static, and src/lua calls a few of them.
build() {
	local multilib xcflags=-DLUAJIT_ENABLE_CHECKHOOK compat
	compat=$(lua52compat)
	if [ -z "$compat" ]; then # no luajit to agree with: the source's own packaging decides
		compat=$(grep -qs LUAJIT_ENABLE_LUA52COMPAT "$new/tree/debian/rules" && echo 1 || echo 0)
	fi
	[ "$compat" = 0 ] || xcflags+=' -DLUAJIT_ENABLE_LUA52COMPAT'
	multilib=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || "${cc[@]}" -print-multiarch 2>/dev/null || true)
	local tools=(CC="$CC")
	if [ -n "$RUN" ]; then
		local machine
		machine=$("${cc[@]}" -dumpmachine)
		multilib=$("${cc[@]}" -print-multiarch)
		tools=(CC="${CC/#"$machine-"/}" CROSS="$machine-" HOST_CC=gcc TARGET_SYS=Linux)
	fi

	# -fPIC: the archive goes into a PIE. The prefix map lets a debugger find the sources in OUTDIR.
	quietly make -C "$new/tree/src" -j"$(nproc)" libluajit.a luajit \
		"${tools[@]}" BUILDMODE=static CCDEBUG=-g PREFIX=/usr MULTILIB="lib${multilib:+/$multilib}" \
		XCFLAGS="$xcflags -include $here/../src/base/errno.h -fPIC -ffile-prefix-map=$new/tree/src=$out/src $LUAJIT_XCFLAGS" ||
		die "cannot build $version"

	mkdir -p "$new/out"/{lib,include,share}
	cp -p "$new/tree"/src/{lua,lauxlib,lualib,luaconf,luajit}.h "$new/out/include"
	mv "$new/tree/src/libluajit.a" "$new/out/lib"
	cp -rp "$new/tree/src/jit" "$new/out/share/jit"
	rm -f "$new/out/share/jit/.gitignore"
	cp -p "$new/tree/COPYRIGHT" "$new/out"
	find "$new/tree/src" \( -name '*.o' -o -name '*_dyn.*' \) -delete
	mv "$new/tree/src" "$new/out/src"

	echo "$version${xcflags:+, $xcflags}${LUAJIT_XCFLAGS:+ $LUAJIT_XCFLAGS}" >"$new/out/version"
	# Paths are relative to config.mk, so that the tree can be moved.
	cat >"$new/out/config.mk" <<-MAKE
		LUAJIT_DIR := \$(patsubst %/,%,\$(dir \$(lastword \$(MAKEFILE_LIST))))
		LUAJIT_KIND := $1
		LUAJIT_CFLAGS := -I\$(LUAJIT_DIR)/include
		LUAJIT_LIBS := \$(LUAJIT_DIR)/lib/libluajit.a -lm -ldl
		LUAJIT_CHECKHOOK := 1
		LUAJIT_PRIVATE := 1
		# For the one file that includes lj_*.h: they must see the macros the library was built with.
		LUAJIT_PRIVATE_CFLAGS := -I\$(LUAJIT_DIR)/src $xcflags${LUAJIT_XCFLAGS:+ $LUAJIT_XCFLAGS}
	MAKE
}

# The installed library: nothing to build, only to describe.
describe_system() {
	pkg-config --exists luajit || die "no installed LuaJIT found by pkg-config (Debian: libluajit-5.1-dev)"
	version="$(pkg-config --modversion luajit), installed"
	mkdir -p "$new/out"
	echo "$version" >"$new/out/version"
	cat >"$new/out/config.mk" <<-MAKE
		LUAJIT_DIR := \$(patsubst %/,%,\$(dir \$(lastword \$(MAKEFILE_LIST))))
		LUAJIT_KIND := system
		LUAJIT_CFLAGS := $(pkg-config --cflags luajit)
		LUAJIT_LIBS := $(pkg-config --libs luajit)
		LUAJIT_CHECKHOOK := 0
		LUAJIT_PRIVATE := 0
		LUAJIT_PRIVATE_CFLAGS :=
	MAKE
}

# ---- Self-test ------------------------------------------------------------------------------------------

selftest_stamp() {
	cat "$here"/selftest.* | sha256sum
}

# Compiles the self-test against the LuaJIT in directory $1, as its config.mk says, and runs it.
selftest() {
	local flags libs share=
	# shellcheck disable=SC2016 # make's variables
	flags=$(make -s -f "$1/config.mk" --eval 'flags: ; @echo "$(LUAJIT_CFLAGS) -DCHECKHOOK=$(LUAJIT_CHECKHOOK)"' flags)
	# shellcheck disable=SC2016
	libs=$(make -s -f "$1/config.mk" --eval 'libs: ; @echo "$(LUAJIT_LIBS)"' libs)
	# -z text: an archive that does not fit into a PIE must fail here.
	# shellcheck disable=SC2086 # lists of flags
	quietly "${cc[@]}" -O2 $flags -fPIE "$here/selftest.c" -o "$new/selftest" -pie -Wl,-z,text $libs ||
		die "cannot compile the self-test against $(cat "$1/version")"

	[ ! -d "$1/share/jit" ] || share=$1/share
	# C modules of another machine lie elsewhere than ours.
	SELFTEST_PATH=$(luajit -e 'io.write(package.path)' 2>/dev/null || true) \
		SELFTEST_CPATH=$([ -n "$RUN" ] || luajit -e 'io.write(package.cpath)' 2>/dev/null || true) \
		SELFTEST_LUA52COMPAT=$(lua52compat) \
		"${run[@]}" "$new/selftest" "$here/selftest.lua" ${share:+"$share"} || die "$(cat "$1/version") fails the self-test"
}

# ---- Main -----------------------------------------------------------------------------------------------

mkdir -p "$(dirname -- "$out")"
out=$(cd -- "$(dirname -- "$out")" && pwd)/$(basename -- "$out")
new=$out.new

# One run at a time. The lock is on the folder around OUTDIR, so that no lock file is left.
exec 9<"$(dirname -- "$out")"
flock 9

# A run that was killed may have left its folder.
rm -rf "$new"
mkdir "$new"
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP

if [ -e "$out" ] && [ ! -e "$out/config.mk" ] && [ -n "$(ls -A "$out")" ]; then
	die "$out exists and is not a LuaJIT built by this script"
fi

inputs >"$new/inputs"
if cmp -s "$new/inputs" "$out/.inputs"; then
	if [ "$(selftest_stamp)" != "$(cat "$out/.selftest")" ]; then
		selftest "$out"
		selftest_stamp >"$out/.selftest"
	fi
	# Not older than what it was compared with, so that make does not ask again.
	[ -z "$(find "$here" -type f -newer "$out/config.mk")" ] || touch "$out/config.mk"
	exit 0
fi

final=1
if [ "$LUAJIT" = system ]; then
	describe_system
elif [ -n "$LUAJIT" ]; then
	die "LUAJIT=$LUAJIT is not known: leave it empty, or say LUAJIT=system"
elif [ -n "$LUAJIT_SRC" ]; then
	[ -e "$LUAJIT_SRC/src/lj_record.c" ] || die "LUAJIT_SRC=$LUAJIT_SRC is not a LuaJIT source directory"
	version="LUAJIT_SRC=$LUAJIT_SRC"
	say "building a copy of $LUAJIT_SRC"
	cp -rp -- "$LUAJIT_SRC" "$new/tree"
	repair_fusenmadd
	quietly make -C "$new/tree/src" clean || die "cannot clean a copy of $LUAJIT_SRC"
	build dir
elif fetch_debian; then
	say "building $version"
	case $version in *git20220320*) repair_itern ;; esac
	repair_fusenmadd
	build debian
	mv "$new/download" "$new/out/download"
elif [ -n "$LUAJIT_PIN" ]; then
	tail -n 20 "$new/apt.log" >&2 2>/dev/null || true
	die "no pin with LUAJIT_PIN=$LUAJIT_PIN in deps/luajit.lock can be had"
else
	# Not final: the next run tries again.
	final=
	describe_system
	say "no source to be had, so using $version: compiled loops that never allocate or call are not pre-empted"
fi

selftest "$new/out"
selftest_stamp >"$new/out/.selftest"
[ -z "$final" ] || mv "$new/inputs" "$new/out/.inputs"
# A source once downloaded serves as long as the lock file names it.
if [ -d "$out/download" ] && [ ! -e "$new/out/download" ]; then
	mv "$out/download" "$new/out/download"
fi
rm -rf "$out"
mv "$new/out" "$out"
