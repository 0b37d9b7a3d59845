#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/floors.sh -- what no compiler checks about src/. Quiet when all is well.
#
#   - Folders are floors: base < asm < sched < park < load < lua < what lies in src itself (the executable). Includes point down, or to the same floor.
#   - libuv is known from park/ upwards, Lua from lua/ upwards; LuaJIT's private headers to lua/vm_private.c alone.
#   - Atomics are spelled in base/atomic.h alone.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(find src -name '*.[chS]' | sort)

awk '
	BEGIN {
		n = split("base asm sched park load lua", name)
		for (i = 1; i <= n; i++)
			height[name[i]] = i
		height["the executable"] = n + 1
	}
	function complain(what) {
		print FILENAME ":" FNR ": " what
		bad = 1
	}
	FNR == 1 {
		split(FILENAME, part, "/")
		floor = part[3] ? part[2] : "the executable"
		if (!(floor in height))
			complain("src/" floor " is no floor")
	}
	/^[ \t]*#[ \t]*include/ {
		file = $0
		gsub(/^[^"<]*["<]|[">].*$/, "", file)
		dir = file
		sub(/\/.*/, "", dir)
		if ($0 ~ /"/ && dir in height && height[dir] > height[floor])
			complain("includes \"" file "\", a floor above")
		if (file == "uv.h" && height[floor] < height["park"])
			complain("includes <uv.h> below park/")
		if (file ~ /^(lua|lualib|lauxlib|luajit)\.h$/ && height[floor] < height["lua"])
			complain("includes <" file "> below lua/")
		if (file ~ /^lj_/ && FILENAME != "src/lua/vm_private.c")
			complain("includes a private header of LuaJIT")
	}
	FILENAME != "src/base/atomic.h" {
		line = $0
		gsub(/"[^"]*"/, "", line)
		if (match(line, /_Atomic|stdatomic|memory_order_|atomic_(load|store|exchange|compare|fetch|thread_fence)[a-z_]*|__(atomic|sync)_[a-z_]+/))
			complain("spells an atomic: " substr(line, RSTART, RLENGTH))
	}
	END { exit bad }
' "${files[@]}"
