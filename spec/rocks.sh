#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/rocks.sh -- what LuaRocks makes of this tree: made, packed, installed elsewhere, tested, removed.
#
# All in a temporary folder, with a copy of the tree and of the LuaJIT that is built already; without a network, where a
# user may have a namespace of his own. Ends with "N passed, N failed".
#
#   BUILD  the build directory, whose LuaJIT is taken (build)
set -uo pipefail
cd "$(dirname "$0")/.." || exit

build=$(realpath "${BUILD:-build}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# Nothing of the user's, nor of a make around us.
unset LUA_PATH LUA_CPATH LUA_INIT LUAROCKS_CONFIG MAKELEVEL MFLAGS CFLAGS
export HOME=$work/home MAKEFLAGS=-j2 OPT='-O1 -g'
offline=()
if unshare -rn true 2>/dev/null; then
	offline=(unshare -rn)
fi

# rocks TREE ARGUMENT...
rocks() {
	local tree=$1
	shift
	"${offline[@]}" luarocks --lua-version=5.1 --tree="$work/$tree" "$@"
}

# ok NAME COMMAND...: it succeeds. What it prints is kept in $work/out, and shown if it fails.
ok() {
	local name=$1 status=0
	shift
	[ "$1" = grep ] || : >"$work/out"
	"$@" >>"$work/out" 2>&1 </dev/null || status=$?
	if [ "$status" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $name (exit status $status)"
		cat "$work/out"
	fi
}

# says TEXT COMMAND...: it prints a line with this text, whether it succeeds or not.
says() {
	local text=$1
	shift
	"$@" >"$work/said" 2>&1
	cat "$work/said"
	grep -qF -- "$text" "$work/said"
}

fails() {
	! "$@"
}

# Each file of the tree that a rock may install is one of these.
files() {
	(cd "$work/$1" && find . -type f -o -type l) | grep -v '^./lib/luarocks/rocks-5.1/manifest'
}

isempty() {
	[ -z "$(files "$1" | tee /dev/stderr)" ]
}

iself() {
	[ "$(head -c 4 "$1")" = $'\x7fELF' ]
}

# Rockspecs, header and module are of one version.
oneversion() {
	local version
	version=$(sed -n 's/^  _VERSION = "\(.*\)",$/\1/p' lua/luapark/init.lua)
	grep -qx "#define LUAPARK_VERSION \"$version\"" include/luapark.h && [ -e "rockspec/luapark-$version-1.rockspec" ]
}

# The C files of the module have seen LuaJIT's headers, and no others.
headers() {
	grep -q 'luajit-2\.1/lua\.h' "$work"/clone/build/mod/lua/*.d && ! grep -l 'include/lua5\.1' "$work"/clone/build/mod/lua/*.d
}

# luajit with the paths of TREE runs CODE.
instock() {
	(eval "$(rocks "$1" path)" && luajit -e "$2")
}

# An embedder's program, made and run with what the rock in TREE has installed.
embeds() {
	local dir
	dir=$(rocks "$1" show --rock-dir luapark) || return
	# shellcheck disable=SC2046 # flags
	cc examples/host.c -o "$work/host" -I"$dir/include" "$work/$1/lib/lua/5.1/luapark/core.so" \
		$(pkg-config --cflags --libs luajit) || return
	(eval "$(rocks "$1" path)" && says "100 goroutines: 5050" "$work/host")
}

inclone() {
	(cd "$work/clone" && "$@")
}

mkdir -p "$HOME" "$work/clone/build"
tar -cf - --exclude=./build --exclude=./.git --exclude=./core . | tar -xf - -C "$work/clone"
if [ -d "$build/luajit" ]; then
	cp -a "$build/luajit" "$work/clone/build"
fi

for rockspec in rockspec/*.rockspec; do
	ok "lint $rockspec" luarocks lint "$rockspec"
done
ok "one version" oneversion

# What is missing is named, and neither fetched nor installed.
ok "no libuv" says "Could not find header file for UV" fails inclone rocks missing make UV_DIR="$work/nowhere"
ok "packages" says "install these packages first: gcc" env DEPS=check PATH="$work/none:$PATH" \
	bash -c 'mkdir -p '"$work/none"' && printf "#!/bin/sh\n" >'"$work/none/dpkg-query"' && chmod +x '"$work/none/dpkg-query"' &&
		! deps/install.sh build'

# LuaRocks' own choice of a rockspec; PUC's headers first, as Debian's LuaRocks has them.
ok "make" inclone rocks tree make CFLAGS="-I/usr/include/lua5.1 -fPIC"
ok "make takes scm" test -e "$work/tree/lib/luarocks/rocks-5.1/luapark/scm-1/luapark-scm-1.rockspec"
ok "LuaJIT's headers" headers
ok "a program, not a script" iself "$work/tree/bin/luapark"

ok "pack" inclone rocks tree pack luapark
ok "install" rocks other install "$work"/clone/luapark-scm-1.*.rock

# Whoever has built it may take it away.
mv "$work/clone" "$work/away"
for tree in tree other; do
	bin=$work/$tree/bin/luapark
	ok "$tree: hello" diff <(cd / && "$bin" - <"$OLDPWD/examples/hello.lua") <("$build/luapark" examples/hello.lua)
	ok "$tree: jit.*" says "$work/$tree/" "$bin" -e 'print(package.searchpath("jit.v", package.path), require "jit.bc")'
	ok "$tree: -jv" "$bin" -jv="$work/trace" -e 'for i = 1, 1000 do end'
	ok "$tree: -jv prints" grep -q 'TRACE' "$work/trace"
	ok "$tree: module" says "42 2" instock "$tree" 'local lp = require "luapark" lp.gomaxprocs(2) print(lp.run(function()
		local c = lp.chan() lp.spawn(function(c) c:send(42) end, c) return c:recv() .. " " .. lp.gomaxprocs() end))'
	ok "$tree: its jit.* are nobody else's" fails says "$work/$tree/" instock "$tree" \
		'print((package.searchpath("jit.v", package.path)))'
	ok "$tree: embedded" embeds "$tree"
done
mv "$work/away" "$work/clone"

# A release takes the place of what was there.
ok "make a release" inclone rocks tree make rockspec/luapark-0.1.0-1.rockspec
ok "the other is gone" fails test -e "$work/tree/lib/luarocks/rocks-5.1/luapark/scm-1"
ok "runs" says "hello" "$work/tree/bin/luapark" -e 'print "hello"'

export PARTS=module BUSTED_ARGS=spec/go_spec.lua
ok "test" inclone rocks tree test
ok "test ran some" grep -qE '^[1-9][0-9]* passed, 0 failed$' "$work/out"

ok "remove" rocks tree remove luapark
ok "remove leaves nothing" isempty tree
ok "remove from the other" rocks other remove luapark
ok "remove leaves nothing there" isempty other

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
