# SPDX-License-Identifier: MIT
# The table of bench/run.sh, from its lines "NAME PROCS AIM ROUND SIDE VALUE UNIT". What is missing shows as "-".

{
	row = $1 ($2 > 1 ? " on " $2 : "")
	if (!(row in unit)) order[++rows] = row
	aim[row] = $3
	unit[row] = $7
	value[row, $5, $4] = $6
	if ($4 > rounds) rounds = $4
}

END {
	line = "%-20s %9s %9s %6s  %-6s %-14s %s\n"
	printf line, "", "luapark", "go", "ratio", "unit", "aim", "reached"
	for (i = 1; i <= rows; i++) {
		row = order[i]
		luapark = median(row, "luapark")
		ratio = median(row, "ratio")
		printf line, row, number(luapark), number(median(row, "go")), ratio == "" ? "-" : sprintf("%.2f", ratio),
			unit[row], aimtext(row), reached(row, luapark, ratio)
	}
}

# The median over the rounds of a side, or of the ratio of both in the same round; "" where there is none.
function median(row, side,   n, i, j, v, list) {
	for (i = 1; i <= rounds; i++) {
		if (side != "ratio" && (row, side, i) in value)
			v = value[row, side, i]
		else if (side == "ratio" && (row, "go", i) in value && (row, "luapark", i) in value)
			v = value[row, "luapark", i] / value[row, "go", i]
		else
			continue
		for (j = ++n; j > 1 && list[j - 1] > v; j--) list[j] = list[j - 1]
		list[j] = v
	}
	if (!n) return ""
	return (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2
}

function number(v) {
	return v == "" ? "-" : sprintf(v < 100 ? "%.1f" : "%.0f", v)
}

# xR: at most R of Go's; =B: at most B.
function aimtext(row,   bound) {
	bound = substr(aim[row], 2)
	if (aim[row] ~ /^x/) return "<= " bound " of go"
	if (aim[row] ~ /^=/) return "<= " bound " " unit[row]
	return "-"
}

function reached(row, luapark, ratio,   got) {
	if (aim[row] !~ /^[x=]/) return "-"
	got = aim[row] ~ /^x/ ? ratio : luapark
	if (got == "") return "-"
	return got <= substr(aim[row], 2) + 0 ? "yes" : "NO"
}
