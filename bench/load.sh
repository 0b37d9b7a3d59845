#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The rows load and load_script of `make bench`: `luapark load` beside Debian's wrk, both against an nginx of their own.
#
#   bench/load.sh [NAME...]     both rows, or those named
#   ROUNDS=n SECONDS_EACH=n     rounds (5), and seconds of each run (3)
#   LUAPARK=path                another program than build/bin/luapark
#
# nginx answers 200 and a few bytes on one core, the generator asks over 64 connections on another. The figure is how many
# requests the generator makes in a second of its own processor time, so that it does not matter which of the two has
# to wait for the other. In each round all run back to back, who is first by turns; ratios are of the same round.
#
#   load          plain; aim: 1.1 times wrk's
#   load_script   a script builds each request and reads each answer's body (load.lua); aim: plain wrk's rate
#
# Exits 1 where a run failed; an aim that is missed is only marked.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
luapark=${LUAPARK:-build/bin/luapark}
connections=64
[[ $# -gt 0 ]] || set -- load load_script

dir=$(mktemp -d)
nginx=
finish() {
	[[ -z $nginx ]] || kill "$nginx" 2>/dev/null || true
	[[ -z $nginx ]] || wait "$nginx" 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT

IFS=, read -r server_core generator_core < <(cores 2)
if [[ -z $generator_core ]]; then
	say 'only one core: nginx and the generator share it'
	generator_core=$server_core
fi

# nginx cannot say which port it was given, so one is guessed until it fits.
start_nginx() {
	local try
	for try in {1..20}; do
		port=$((20000 + RANDOM % 12000))
		cat >"$dir/nginx.conf" <<-CONF
			daemon off;
			master_process off;
			pid $dir/pid;
			error_log $dir/error.log;
			worker_rlimit_nofile 4096;
			events { worker_connections 2048; }
			http {
				access_log off;
				keepalive_requests 1000000000;
				client_body_temp_path $dir/body;
				proxy_temp_path $dir/proxy;
				fastcgi_temp_path $dir/fastcgi;
				uwsgi_temp_path $dir/uwsgi;
				scgi_temp_path $dir/scgi;
				server {
					listen 127.0.0.1:$port;
					location / { return 200 "hello from nginx\n"; }
				}
			}
		CONF
		taskset -c "$server_core" nginx -p "$dir" -c "$dir/nginx.conf" >"$dir/nginx.out" 2>&1 &
		nginx=$!
		for _ in {1..100}; do
			if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && kill -0 "$nginx" 2>/dev/null; then return; fi
			kill -0 "$nginx" 2>/dev/null || break
			sleep 0.05
		done
		kill "$nginx" 2>/dev/null || true
		wait "$nginx" 2>/dev/null || true
		nginx=
	done
	say "nginx does not start (tried $try ports):"
	cat "$dir/nginx.out" >&2
	return 1
}

broken=0

# measure SIDE ROUND: one run; notes "SIDE ROUND requests-per-second-of-CPU requests-per-second".
measure() {
	local side=$1 round=$2 times
	local -a command
	case $side in
	luapark*) command=("$luapark" load) ;;
	wrk*) command=(wrk) ;;
	esac
	command+=(-t1 "-c$connections" "-d$seconds")
	[[ $side != *_script ]] || command+=(-s bench/load.lua)
	local TIMEFORMAT='%U %S'
	if ! times=$({ time timeout $((seconds + 30)) taskset -c "$generator_core" "${command[@]}" "http://127.0.0.1:$port/" \
		>"$dir/out" 2>"$dir/err"; } 2>&1) || ! awk -v side="$side" -v round="$round" -v times="$times" '
		$2 == "requests" && $3 == "in" { n = $1 }
		/Socket errors|Non-2xx/ { bad = 1 }
		/^Requests\/sec:/ { rate = $2 }
		END {
			split(times, t, " ")
			if (!n || bad || t[1] + t[2] <= 0) exit 1
			print side, round, n / (t[1] + t[2]), rate
		}' "$dir/out" >>"$dir/results"; then
		broken=1
		say "$side failed:"
		cat "$dir/out" "$dir/err" >&2
	fi
}

sides=(luapark wrk)
for name in "$@"; do
	case $name in
	load) ;;
	load_script) sides+=(luapark_script wrk_script) ;;
	*)
		say "no benchmark '$name'; there are: load load_script"
		exit 1
		;;
	esac
done
if [[ ! -x $luapark ]]; then
	say "no $luapark"
	exit 1
fi

start_nginx
: >"$dir/results"
for ((round = 1; round <= rounds; round++)); do
	for ((i = 0; i < ${#sides[@]}; i++)); do
		measure "${sides[(i + round) % ${#sides[@]}]}" "$round" </dev/null
	done
done

awk -v names="$*" '
	function median(side, base,   n, i, j, v, list) {
		for (i = 1; i <= rounds; i++) {
			if (!((side, i) in value) || (base != "" && !((base, i) in value))) continue
			v = base == "" ? value[side, i] : value[side, i] / value[base, i]
			for (j = ++n; j > 1 && list[j - 1] > v; j--) list[j] = list[j - 1]
			list[j] = v
		}
		return n ? (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2 : -1
	}
	function row(name, side, base, aim,   ratio) {
		ratio = median(side, base)
		if (ratio < 0) return
		printf "%-20s %9.1f %9.1f %6.2f  %-6s %-14s %s\n", name, median(side) / 1000, median(base) / 1000, ratio, "k/s",
			aim ? ">= " aim : "-", aim ? (ratio >= aim ? "yes" : "NO") : "-"
	}
	{ value[$1, $2] = $3; if ($2 > rounds) rounds = $2 }
	END {
		printf "%-20s %9s %9s %6s  %-6s %-14s %s\n", "per CPU second", "luapark", "wrk", "ratio", "unit", "aim", "reached"
		if (names ~ /load( |$)/) row("load", "luapark", "wrk", 1.1)
		if (names ~ /load_script/) {
			row("load_script", "luapark_script", "wrk", 1)
			row("  beside its like", "luapark_script", "wrk_script", 0)
		}
	}' "$dir/results"
echo "$("$luapark" -v 2>&1 | head -n 1), $(wrk -v 2>&1 | awk '{ print $1, $2; exit }'), median of $rounds rounds of $seconds s," \
	"$connections connections, nginx on core $server_core, generator on core $generator_core of $(processors)"
[[ $broken -eq 0 ]]
