#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make bench`: the same work in Luapark and in Go, in one interleaved run, and whether the aims are reached.
#
#   bench/run.sh [NAME...]      all benchmarks, or those named; load and load_script are load.sh's, beside wrk
#   ROUNDS=n                    rounds (5)
#   GO=path LUAPARK=path        other programs than build/bin/luapark and the Go that bench/go.sh finds
#
# Machines drift by a fifth within minutes, so only what was measured back to back may be compared: each round runs
# each benchmark in both, one right after the other, with the first place taken in turns, and the ratio shown is the
# median of the rounds' ratios. Both are pinned to the same core(s).
# Exits 1 where a benchmark failed; an aim that is missed is only marked.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

rounds=${ROUNDS:-5}
luapark=${LUAPARK:-build/bin/luapark}
build=build/bench
results=$build/results
limit=120 # seconds for one benchmark: a runtime that hangs must not hang the rest

# NAME PROCS AIM, in the table's order. PROCS is the number of processors, and of cores, for both.
# AIM: x0.5 is half of Go's time at most, =700 is 700 of the row's unit at most, - is none.
rows='
spawn            1 x0.5
yield            1 x0.5
pingpong         1 x0.5
buffered_int     1 x0.5
buffered_str     1 x0.5
fanin8           1 -
select2          1 x0.5
select2_buffered 1 x0.5
select8          1 x0.5
timer            1 x0.5
context          1 x0.5
overshoot        1 =150
histogram        1 -
mutex            1 x0.5
mutex100         1 x1
rwmutex          1 -
waitgroup        1 x1
map              1 -
skynet           1 x1
parked_100k      1 =700
parked_1m        1 =700
pingpong         2 x1
fanin8           2 x1
skynet           2 x1
ring             2 x1
remote_pingpong  2 x1
parallel_fib     1 -
parallel_fib     2 -
late_p50         1 x1.5
late_max         1 x2
spectral_preempt 1 =105
nbody_preempt    1 =105
mandelbrot_preempt 1 =105
'

# The rows asked for, all without a NAME.
chosen_rows() {
	local name
	for name in "$@"; do
		if ! grep -q "^$name " <<<"$rows"; then
			say "no benchmark '$name'; there are: $(awk 'NF && !seen[$1]++ { printf "%s ", $1 }' <<<"$rows")load load_script"
			return 1
		fi
	done
	awk -v names="$*" 'NF && (names == "" || index(" " names " ", " " $1 " "))' <<<"$rows"
}

# Builds the Go half. All that Go keeps stays under build/, and it neither looks for modules nor for another Go.
build_go() {
	go=$(bench/go.sh) || return
	local keep=$PWD/build/go
	env GOCACHE="$keep/cache" GOPATH="$keep/path" XDG_CONFIG_HOME="$keep/config" CGO_ENABLED=0 \
		GOENV=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod GO111MODULE=off \
		"$go" build -o "$build/go" bench/go/main.go
}

declare -A broken=() # "side name procs": failed once, so not tried again

# measure SIDE ROUND NAME PROCS AIM: runs one benchmark once and notes the outcome for table.awk.
measure() {
	local side=$1 round=$2 name=$3 procs=$4 aim=$5 got value unit
	local -a command
	[[ -n ${broken["$side $name $procs"]:-} ]] && return
	case $side in
	go) command=(env GOMAXPROCS="$procs" "$build/go") ;;
	luapark) command=(env LUAPARK_MAXPROCS="$procs" "$luapark" bench/bench.lua) ;;
	esac
	if read -r got value unit < <(timeout "$limit" taskset -c "$(cores "$procs")" "${command[@]}" "$name") &&
		[[ $got == "$name" && $value =~ ^[0-9.]+$ ]]; then
		echo "$name $procs $aim $round $side $value $unit" >>"$results"
	else
		broken["$side $name $procs"]=1
		say "$name failed in $side"
	fi
}

# run_round ROUND: each row on each side. Who goes first changes with the round and with the row.
run_round() {
	local round=$1 row=0 name procs aim side
	local -a order
	while read -r name procs aim; do
		row=$((row + 1))
		# Memory is no matter of luck and takes long to fill: once is enough.
		[[ $name == parked_* && $round -gt 1 ]] && continue
		[[ -t 2 ]] && printf '\rround %d of %d: %-20s' "$round" "$rounds" "$name" >&2
		order=("${sides[@]}")
		if (((round + row) % 2)) && [[ ${#sides[@]} -eq 2 ]]; then order=("${sides[1]}" "${sides[0]}"); fi
		for side in "${order[@]}"; do
			measure "$side" "$round" "$name" "$procs" "$aim" </dev/null
		done
	done <<<"$chosen"
	if [[ -t 2 ]]; then printf '\r%-40s\r' '' >&2; fi
}

# One line: what was compared, and where.
versions() {
	local side line=
	for side in "${sides[@]}"; do
		case $side in
		luapark) line+="$("$luapark" -v 2>&1 | head -n 1), " ;;
		go) line+="$(GOTOOLCHAIN=local "$go" version | awk '{ print $3 }'), " ;;
		esac
	done
	line+="median of $rounds rounds, on core $(cores "$(sort -rnk2 <<<"$chosen" | awk 'NR == 1 { print $2 }')")"
	echo "$line of $(processors)"
}

loads=() names=()
for name in "$@"; do
	case $name in
	load | load_script) loads+=("$name") ;;
	*) names+=("$name") ;;
	esac
done
chosen=$(chosen_rows "${names[@]}")
if [[ ${#loads[@]} -gt 0 && ${#names[@]} -eq 0 ]]; then exec bench/load.sh "${loads[@]}"; fi
mkdir -p "$build"
: >"$results"
sides=()
if [[ -x $luapark ]]; then sides+=(luapark); else say "no $luapark; going on without"; fi
if build_go; then sides+=(go); fi
if [[ ${#sides[@]} -eq 0 ]]; then
	say 'nothing to measure'
	exit 1
fi
for ((round = 1; round <= rounds; round++)); do run_round "$round"; done
awk -f bench/table.awk "$results"
versions
status=$((${#broken[@]} > 0))
if [[ $# -eq 0 || ${#loads[@]} -gt 0 ]]; then
	echo
	bench/load.sh "${loads[@]}" || status=1
fi
exit "$status"
