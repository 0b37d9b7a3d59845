#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/run.sh [PART...] -- runs the tests of what is built, and counts.
#
#   c         the core's own tests, in C (spec/c)
#   model     the protocol by which Ps sleep and wake, in Spin (spec/model)
#   module    the specs in stock luajit, luapark a module
#   exe       the same specs in the executable, busted being the main goroutine
#   examples  each file of examples/ prints what its header says
#   stress    the programs of spec/stress, for a minute (STRESS_SECONDS)
#   rocks     what LuaRocks makes of the tree
#   arm64     the tests of the arm64 build that spec/arm64.sh lists, under qemu-user
#
# All of them unless told, but for arm64. One line a part, and everything that a failed part said. Ends with "N passed, N failed";
# exit status 1 if anything failed or a part found no test.
#
#   BUILD        the build directory (build)
#   BUSTED_ARGS  more arguments for busted, such as --filter=chan
#   TIMEOUT      seconds that a part may take (600)
set -uo pipefail
cd "$(dirname "$0")/.." || exit

export BUILD=${BUILD:-build}
export LUAPARK_BUILD=$BUILD
busted=$(command -v busted || echo /usr/bin/busted)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

watched() {
	timeout --kill-after=10 "${TIMEOUT:-600}" "$@"
}

# Programs whose last line is "N passed, N failed".
part_c() {
	local t status=0
	for t in "$BUILD"/spec/c/test "$BUILD"/spec/c/test-small; do
		echo "$t:"
		watched "$t" || status=$?
	done
	return "$status"
}

part_model() {
	watched spec/model/model.sh
}

part_examples() {
	watched spec/examples.sh
}

part_stress() {
	watched spec/stress.sh
}

part_rocks() {
	watched spec/rocks.sh
}

part_arm64() {
	watched spec/arm64.sh
}

# Most specs say in which order goroutines run: that nobody is pre-empted belongs to it. Those on pre-emption, many Ps and
# endings run programs of their own, with it.
busted_in() {
	local args
	read -ra args <<<"${BUSTED_ARGS:-}"
	LUAPARK_PREEMPT=${LUAPARK_PREEMPT:-0} watched "$1" "$busted" -o TAP "${args[@]}"
}

part_module() {
	busted_in luajit
}

part_exe() {
	busted_in "$BUILD/luapark"
}

# Both kinds of counts: our programs' last lines, and TAP's ok and not ok.
count() {
	awk '
		/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
		/^ok [0-9]+ - / && !/^ok [0-9]+ - # SKIP/ { passed++ }
		/^not ok [0-9]+ - / { failed++ }
		END { print passed + 0, failed + 0 }
	' "$1"
}

total_passed=0 total_failed=0
[ $# -gt 0 ] || set -- c model module exe examples rocks stress
for part; do
	if ! declare -F "part_$part" >/dev/null; then
		echo "spec/run.sh: no part is called '$part'" >&2
		exit 2
	fi
	start=$(date +%s%N)
	"part_$part" >"$out/$part" 2>&1 </dev/null
	status=$?
	ms=$((($(date +%s%N) - start) / 1000000))
	read -r passed failed < <(count "$out/$part")
	note=
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		note=", took too long"
	elif [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		note=", exit status $status"
	elif [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
		note=", no test"
	fi
	# What ended too early has failed, whatever it had counted.
	[ -z "$note" ] || failed=$((failed + 1))
	[ "$failed" -eq 0 ] || grep -v '^ok [0-9]' "$out/$part"
	printf '%-9s %4d passed, %d failed  %3d.%d s%s\n' "$part" "$passed" "$failed" \
		"$((ms / 1000))" "$((ms % 1000 / 100))" "$note"
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
done
echo "$total_passed passed, $total_failed failed"
[ "$total_failed" -eq 0 ]
