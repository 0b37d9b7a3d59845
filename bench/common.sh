# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts of bench/ share; sourced.

say() { echo "bench: $*" >&2; }

# cores N: the last N that this process may use, as a list for taskset; the first ones serve most interrupts.
cores() {
	sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr ',' '\n' |
		while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done | tail -n "$1" | paste -sd,
}

# The machine's processors, in words.
processors() {
	echo "$(nproc --all) x $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | sort -u | paste -sd/)"
}
