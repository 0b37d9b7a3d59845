#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/stress.sh [PROGRAM...] -- the programs of spec/stress on 1, 2 and 4 Ps in the stress mode, and on 4 without it.
#
#   BUILD           the build directory (build)
#   STRESS_SECONDS  what all of it takes (60)
#   STRESS_SEED     the first seed; a failure names the one that it happened with (another each time)
#
# A run passes if it ends well, says ok, and nothing else: no report of a sanitizer either. One that hangs gets SIGQUIT, so
# that it lists its goroutines. Ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit

luapark=${BUILD:-build}/luapark
seconds=${STRESS_SECONDS:-60}
configurations=("LUAPARK_MAXPROCS=1 LUAPARK_DEBUG=stress" "LUAPARK_MAXPROCS=2 LUAPARK_DEBUG=stress"
	"LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress" "LUAPARK_MAXPROCS=4")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

[ $# -gt 0 ] || set -- graph trees sync limits churn threads
ms=$((seconds * 1000 / $# / ${#configurations[@]}))
each=$((ms / 1000)).$(printf %03d $((ms % 1000)))
for program; do
	for configuration in "${configurations[@]}"; do
		read -ra environment <<<"$configuration"
		# ten times the time, and a minute: sanitizers are slow, a round is short
		env -u LUA_INIT -u LUAPARK_STEAL -u LUAPARK_DEBUG "${environment[@]}" \
			timeout --signal=QUIT --kill-after=20 $((ms / 100 + 60)) \
			"$luapark" "spec/stress/$program.lua" "$each" "${STRESS_SEED:-$RANDOM}" >"$out/out" 2>"$out/err"
		status=$?
		if [ "$status" -eq 0 ] && [ ! -s "$out/err" ] && [[ $(<"$out/out") =~ ^'ok: '[^$'\n']*$ ]]; then
			passed=$((passed + 1))
			echo "$program, $configuration: $(cat "$out/out")"
		else
			failed=$((failed + 1))
			echo "FAIL $program, $configuration (exit status $status)"
			cat "$out/out"
			head -c 20000 "$out/err"
		fi
	done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
