#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/examples.sh [FILE...] -- each example prints what its header says.
#
#   -- Prints:                  these lines, exactly
#   -- Prints (for example):    the same but for the numbers
#   --   hello                  (up to the first line that is not so indented)
#   -- Run by: CMD              with this command instead of `luapark FILE`
#
# What needs arguments (load, http_server) promises no output and is run by other examples. A header that names
# `luajit FILE` promises the same for the module. Ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit

BUILD=${BUILD:-build}
build=$(realpath "$BUILD")
export PATH=$build:$PATH
# An empty item stands for the default path.
export LUA_PATH="$build/share/lua/5.1/?.lua;$build/share/lua/5.1/?/init.lua;;"
export LUA_CPATH="$build/lib/lua/5.1/?.so;;"
passed=0 failed=0

header() {
	sed -n '/^--/!{/^$/!q}; p' "$1"
}

promised() {
	header "$1" | sed -n '/^-- Prints.*:$/,${/^-- Prints/d; s/^--   //; t say; q; :say p}'
}

numbers() {
	sed -E 's/[0-9]+(\.[0-9]+)?/N/g'
}

# try FILE COMMAND...: the command's output must be what FILE promises.
try() {
	local file=$1 status want got
	shift
	want=$(promised "$file")
	got=$(timeout 60 "$@" 2>/tmp/examples.$$)
	status=$?
	if header "$file" | grep -q '^-- Prints (for example):$'; then
		want=$(numbers <<<"$want")
		got=$(numbers <<<"$got")
	fi
	if [ "$status" -eq 0 ] && [ "$got" = "$want" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $* (exit status $status)"
		diff -u --label promised --label printed <(echo "$want") <(echo "$got")
		cat /tmp/examples.$$
	fi
	rm -f /tmp/examples.$$
}

[ $# -gt 0 ] || set -- examples/*.lua
for file; do
	[ -n "$(promised "$file")" ] || continue
	run=$(header "$file" | sed -n 's/^-- Run by: //p')
	if [ -n "$run" ]; then
		try "$file" bash -c "$run"
	else
		try "$file" luapark "$file"
	fi
	if header "$file" | grep -q "^--   luajit $file"; then
		try "$file" luajit "$file"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
