#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# spec/arm64.sh [PART...] -- the tests of the arm64 build under qemu-user.
#
#   c        the core's own tests, in C
#   corpus   the programs of spec/corpus, by spec/parallel_spec.lua
#   examples the files of examples/ print what their headers say
#   specs    all specs in the executable: takes half an hour
#
# The first three unless told.
#
#   BUILD        the build directory (build/arm64)
#   BUSTED_ARGS  more arguments for busted
#
# What cannot hold under qemu is listed here, and nowhere else. C tests go by how their names begin, specs by a pattern.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

export BUILD=${BUILD:-build/arm64}
export LUAPARK_BUILD=$BUILD
PATH=$(realpath "$BUILD"):$PATH # its luajit

skip_c=(
	# qemu takes a program's own limit of addresses (setrlimit), and ignores it.
	cstack_shrinks_where_addresses_are_few
	cstack_no_addresses_at_all
	g_table_without_addresses
	sudog_table_without_addresses
	sudog_table_full
	# A look at the network 100 us after the last one disarms what nobody waits for. Code that runs for the first time
	# takes longer to translate.
	netpoll_stays_armed_until_nobody_waits
)

# They need the tables in full, 104 GB of addresses, for which qemu takes 1.4 GB of memory.
wide_c=(
	g_table_shrinks_where_addresses_are_few
	globrunq_gives_a_share
	sudog_arrays_are_apart
	sudog_refill_gives_new_slots
	sudog_table_shrinks_where_addresses_are_few
)

skip_examples=(
	# Its order counts on goroutines that run at once. Here each waits long enough to be taken by another P.
	hello
)

skip_specs=(
	# 1,023 C stacks are what the limit of addresses leaves, and these want more.
	'harms no other goroutine: 1,000 of them'
	'2,000 goroutines under C functions'
	# A coroutine resumed by another takes 208 bytes of C stack on arm64, and 80 on amd64: 128 MB are not enough for these.
	'depth of 1000000 coroutine.wrap'
	# What sleeps some milliseconds longer comes later; but first it must run, and be translated.
	'a script that falls off its end waits for its goroutines'
	'lp.run waits for the goroutines that it started'
	'after that somebody waits on keeps the program alive'
	# To open a P's state takes longer here than a time slice, after which another P runs two of the goroutines.
	'Ps are as many as gomaxprocs, and run at the same time'
)

# They nest C calls until Lua says that it is enough, which takes 57 MB of C stack. Of 21 GB each stack gets 2 MB, of 256 GB
# 64 MB.
wide_specs=(
	'^depth of'
)

part_c() {
	local t status=0
	for t in test test-small; do
		t=$BUILD/spec/c/$t
		echo "$t:"
		spec/qemu-arm64.sh "$t" -x "${skip_c[@]}" "${wide_c[@]}" || status=$?
		QEMU_GIB=256 spec/qemu-arm64.sh "$t" "${wide_c[@]}" || status=$?
	done
	return "$status"
}

# As spec/run.sh has it.
busted() {
	local args skip=() pattern
	read -ra args <<<"${BUSTED_ARGS:-}"
	for pattern in "${skip_specs[@]}"; do
		skip+=("--filter-out=$pattern")
	done
	LUAPARK_PREEMPT=${LUAPARK_PREEMPT:-0} "$BUILD/luapark" "$(type -P busted || echo /usr/bin/busted)" -o TAP "${skip[@]}" "${args[@]}" "$@"
}

part_corpus() {
	busted spec/parallel_spec.lua
}

part_examples() {
	local files=() file
	for file in examples/*.lua; do
		[[ " ${skip_examples[*]} " == *" $(basename "$file" .lua) "* ]] || files+=("$file")
	done
	spec/examples.sh "${files[@]}"
}

part_specs() {
	local pattern narrow=() status=0
	for pattern in "${wide_specs[@]}"; do
		narrow+=("--filter-out=$pattern")
	done
	busted "${narrow[@]}" || status=$?
	for pattern in "${wide_specs[@]}"; do
		QEMU_GIB=256 busted --filter="$pattern" || status=$?
	done
	return "$status"
}

status=0
[ $# -gt 0 ] || set -- c corpus examples
for part; do
	case $part in
	c) part_c ;;
	corpus) part_corpus ;;
	examples) part_examples ;;
	specs) part_specs ;;
	*) echo "spec/arm64.sh: no part is called '$part'" >&2 && exit 2 ;;
	esac || status=$?
done
exit "$status"
