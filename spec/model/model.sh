#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/model/model.sh [NAME...] -- checks wakeup.pml with Spin, and that the checks catch each of its mutants.
#
# All but the large one unless told. One line each; where a check is broken, also the last steps of the run that broke
# it. Ends with "N passed, N failed"; a mutant that is caught has passed. As many at once as there are processors.
#
#   CC   the C compiler for the verifiers that Spin writes (gcc)
set -uo pipefail
model=$(realpath "$(dirname "$0")")/wakeup.pml

# NAME ARGS...: what the model is made with. Each is as large as some seconds allow.
checks='
2_ps           -DPS=2
3_ps_waits     -DPS=3 -DGS=3 -DEVENTS=0 -DGLOBALS=0
3_ps_starts    -DPS=3 -DWAITS=0 -DEVENTS=0
3_ps_events    -DPS=3 -DGS=3 -DWAITS=0
every_run_ends -DPS=2 -DGS=3
'

# Only where it is named: minutes, and 3 GB.
large='
3_ps_all       -DPS=3 -DGS=3
'

# NAME CHECK: the mutant, and the check that catches it.
mutants='
NO_RECHECK        2_ps
PUBLISH_LATE      2_ps           # looks once more, and then says that it is idle
UNSPIN_LATE       2_ps           # ... and then stops spinning
SPINNERS_RECHECK  2_ps           # who was not spinning does not look once more
MINE_INSTEAD      3_ps_waits     # who finds its inbox full looks no further
START_OVER        every_run_ends # who finds work does not see to it that somebody spins
READY_BLIND       2_ps           # ready does not look whether the P is idle
READY_LOOKS_FIRST 2_ps           # ... or before the G is in the inbox
START_LOOKS_FIRST 2_ps           # wakep before the G is in the stealq
NO_SUCCESSOR      2_ps           # who was spinning and found work wakes nobody
LOOT_LATE         2_ps           # ... or before others can see what else it stole
UNCOUNT_UNLOCKED  2_ps           # wakep finds nobody, and gives the lock back before it counts down
HANDSPIN_LEFT     2_ps           # who wakes by its recheck does not see that it is to spin
POKE_FORGOTTEN    2_ps           # the poller forgets what came before it was entered
DISPATCH_IDLE     2_ps           # events are dispatched while the P is idle
DEAD_BY_COUNT     2_ps           # checkdead counts Ps, and looks at no queue
'

names() {
	awk 'NF { print $1 }' <<<"$1"
}

# row TABLE NAME: the rest of that row, without a comment.
row() {
	awk -v name="$2" '$1 == name { sub(/#.*/, ""); $1 = ""; print }' <<<"$1" | xargs
}

# verify CHECK MODEL-ARGS COMPILER-ARGS: writes, compiles and runs the verifier, here.
verify() {
	local search=()
	local -a margs cargs
	read -ra margs <<<"$2"
	read -ra cargs <<<"$3"
	# -DNP, -l: cycles without progress, which here are all cycles.
	case $1 in
	every_run_ends) cargs+=(-DNP) search=(-l) ;;
	*) cargs+=(-DSAFETY) ;;
	esac
	spin -a "${margs[@]}" "$model" &&
		"${CC:-gcc}" -w "${cargs[@]}" -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c &&
		./pan "${search[@]}" -m100000
}

# broken_run MODEL-ARGS: the last steps before the fault: whose M, in which line, what.
broken_run() {
	local -a margs
	read -ra margs <<<"$1"
	spin -k ./*.trail -t -p "${margs[@]}" "$model" |
		sed -nE 's/.*proc +([0-9]+) \((M|env).*(wakeup\.pml:[0-9]+) .*\t\[(.*)\]$/  \2 \1  \3  \4/p' |
		grep -v '(goto)' | tail -n 80
}

# one NAME: checks it in a directory of its own, and says how it went.
one() {
	local name=$1 check args cc mutant='' verdict=FAIL errors
	mkdir "$out/$name" && cd "$out/$name" || return
	check=$name cc=-O2
	if grep -q "^$name " <<<"$mutants"; then
		# Caught before optimizing would pay.
		check=$(row "$mutants" "$name") cc=-O0 mutant=-DMUTANT_$name
	fi
	args="$(row "$checks$large" "$check") $mutant"
	verify "$check" "$args" "$cc" >said 2>&1
	errors=$(sed -n 's/^State-vector.*errors: //p' said)
	if [ -n "$mutant" ]; then
		[ "${errors:-0}" -gt 0 ] && verdict=ok
	elif [ "$errors" = 0 ] && ! grep -qE 'Search not completed|depth too small' said; then
		verdict=ok
	fi
	awk -v verdict="$verdict" -v name="$name" -v mutant="$mutant" '
		/states, stored/ { states = $1 }
		/total actual memory/ { megabytes = $1 }
		/^pan: elapsed time/ { seconds = $4 }
		END {
			printf "%-4s %-17s %8d states  %5.1f s  %3d MB", verdict, name, states, seconds, megabytes
			print mutant == "" ? "" : verdict == "ok" ? "  caught" : "  not caught"
		}' said
	[ "$verdict" = FAIL ] || return 0
	[ -n "$errors" ] || cat said
	[ -n "$mutant" ] || ! grep '^pan:1:' said || broken_run "$args"
}

if ! command -v spin >/dev/null; then
	echo "spec/model/model.sh: there is no spin" >&2
	exit 2
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# shellcheck disable=SC2046 # a word each
[ $# -gt 0 ] || set -- $(names "$checks") $(names "$mutants")
for name; do
	if ! grep -q "^$name " <<<"$checks$large$mutants"; then
		echo "spec/model/model.sh: no check or mutant is called '$name'" >&2
		exit 2
	fi
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	one "$name" >"$out/$name.line" 2>&1 &
done
wait
failed=0
for name; do
	cat "$out/$name.line"
	grep -q '^ok ' "$out/$name.line" || failed=$((failed + 1))
done
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
