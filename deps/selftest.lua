-- SPDX-License-Identifier: MIT
-- The self-test of a LuaJIT build: every form of loop, compiled, left alone and pre-empted. See selftest.c for
-- run(), and for who ends a form that hangs.
--
-- Left alone, a form must give the right result and must have been compiled. Pre-empted (where LuaJIT checks
-- hooks in compiled code), it must give the right result, be compiled, and yield soon after each signal.

local checkhook, share = ...
local run = run -- luacheck: ignore

local SLICE = 0.025 -- s of CPU time that a pre-empted form runs
local LEAST = 4 -- times that it must be pre-empted in that time, by signals each 1 ms
local BOUND = 0.010 -- s of CPU time from a signal to the yield
local TRIES = 5 -- to see a form compiled and pre-empted
local MOST = 1e8 -- steps: its sum is exact in a double

local ffi = require "ffi"
local band = require("bit").band

-- ---- The forms ----------------------------------------------------------------------------------------------

-- Each takes n, does about n small steps and returns what it computed and what that should be. None allocates
-- or calls C unless it is said: a loop that does is easily pre-empted, and so shows nothing.

local forms = {} -- in order: {name, f, link = a pattern of how the trace of the loop ends}

local function form(name, f, link)
	forms[#forms + 1] = {name = name, f = f, link = link or "^loop$"}
end

local function sum(n) -- 1 + 2 + ... + n
	return n * (n + 1) / 2
end

local array, hash = {}, {}
for i = 1, 1000 do
	array[i] = i
	hash["k" .. i] = i
end
local mixed = {}
for i = 1, 500 do
	mixed[i] = i
	mixed["k" .. i] = i + 500
end

-- pairs first: this is where Debian 12's LuaJIT hangs if it is built to check hooks without more ado.
local function visit(t)
	return function(n)
		local s, rounds = 0, n / 1000
		for _ = 1, rounds do
			for _, v in pairs(t) do
				s = s + v
			end
		end
		return s, rounds * sum(1000)
	end
end
form("pairs, array", visit(array))
form("pairs, hash", visit(hash))
form("pairs, both", visit(mixed))

form("pairs, storing", function(n)
	local t, rounds = {}, n / 1000
	for k in pairs(hash) do
		t[k] = 0
	end
	for _ = 1, rounds do
		for k, v in pairs(t) do
			t[k] = v + 1
		end
	end
	local s = 0
	for _, v in pairs(t) do
		s = s + v
	end
	return s, n
end)

form("pairs, left early", function(n)
	local s = 0
	for _ = 1, n / 10 do
		for k, v in pairs(array) do
			s = s + v
			if k == 10 then
				break
			end
		end
	end
	return s, n / 10 * sum(10)
end)

form("ipairs", function(n)
	local s, rounds = 0, n / 1000
	for _ = 1, rounds do
		for _, v in ipairs(array) do
			s = s + v
		end
	end
	return s, rounds * sum(1000)
end)

form("for in next", function(n)
	local s, rounds = 0, n / 1000
	for _ = 1, rounds do
		for _, v in next, hash do
			s = s + v
		end
	end
	return s, rounds * sum(1000)
end)

form("next, called", function(n)
	local s, rounds = 0, n / 1000
	for _ = 1, rounds do
		local k, v = next(array)
		while k do
			s = s + v
			k, v = next(array, k)
		end
	end
	return s, rounds * sum(1000)
end)

form("for, up", function(n)
	local s = 0
	for i = 1, n do
		s = s + i
	end
	return s, sum(n)
end)

form("for, down", function(n)
	local s = 0
	for i = n, 1, -1 do
		s = s + i
	end
	return s, sum(n)
end)

form("for, fractional step", function(n)
	local s = 0
	for x = 0.25, n / 4, 0.25 do
		s = s + x
	end
	return s, sum(n) / 4
end)

form("for, storing", function(n)
	local t = {}
	for i = 1, 64 do
		t[i] = 0
	end
	for i = 1, n do
		local j = band(i, 63) + 1
		t[j] = t[j] + i
	end
	local s = 0
	for i = 1, 64 do
		s = s + t[i]
	end
	return s, sum(n)
end)

form("while", function(n)
	local s, i = 0, 1
	while i <= n do
		s = s + i
		i = i + 1
	end
	return s, sum(n)
end)

form("repeat", function(n)
	local s, i = 0, 0
	repeat
		i = i + 1
		s = s + i
	until i == n
	return s, sum(n)
end)

-- Only a goto in the block of its label is compiled as a loop; others stay in the interpreter.
form("goto", function(n)
	local s, i = 0, 0
	::again::
	i = i + 1
	s = s + i
	if i == n then
		return s, sum(n)
	end
	goto again
end)

form("nested for", function(n)
	local s = 0
	for i = 1, n / 50 do
		for j = 1, 50 do
			s = s + i * j
		end
	end
	return s, sum(n / 50) * sum(50)
end)

form("branches", function(n)
	local a, b = 0, 0
	for i = 1, n do
		if i % 3 == 0 then
			a = a + i
		elseif i % 5 == 0 then
			b = b + i
		end
	end
	local function multiples(k) -- the sum of those up to n
		return k * sum(math.floor(n / k))
	end
	return a * 2 + b, multiples(3) * 2 + multiples(5) - multiples(15)
end)

form("closure as iterator", function(n)
	local function count(last)
		local i = 0
		return function()
			i = i + 1
			if i <= last then
				return i
			end
		end
	end
	local s = 0
	for i in count(n) do
		s = s + i
	end
	return s, sum(n)
end)

-- The iterator is C and not compiled: the trace is stitched around it, so that this loop calls C.
local words = ("word "):rep(1000)
form("string.gmatch", function(n)
	local s, rounds = 0, math.ceil(n / 50000)
	for _ = 1, rounds do
		for w in words:gmatch("%a+") do
			s = s + #w
		end
	end
	return s, rounds * 4000
end, "^stitch$")

form("tail calls", function(n)
	local function add(i, s)
		if i == 0 then
			return s
		end
		return add(i - 1, s + i)
	end
	return add(n, 0), sum(n)
end, "^tail%-recursion$")

form("recursion, deep", function(n)
	local function add(i)
		if i == 0 then
			return 0
		end
		return i + add(i - 1)
	end
	local s, rounds = 0, n / 1000
	for _ = 1, rounds do
		s = s + add(1000)
	end
	return s, rounds * sum(1000)
end, "recursion$") -- upwards or downwards, as it happens

form("recursion, as a tree", function(n)
	local function fib(i)
		return i < 2 and i or fib(i - 1) + fib(i - 2)
	end
	local s, rounds = 0, math.ceil(n / 20000)
	for _ = 1, rounds do
		s = s + fib(16)
	end
	return s, rounds * 987
end, "recursion$") -- upwards or downwards, as it happens

-- This one yields to the Lua code around it, and is resumed until it is dead.
form("inside a coroutine", function(n)
	local s = 0
	local co = coroutine.create(function()
		for i = 1, n do
			s = s + i
		end
	end)
	repeat
		assert(coroutine.resume(co))
	until coroutine.status(co) == "dead"
	return s, sum(n)
end)

form("FFI arrays", function(n)
	local a = ffi.new("int32_t[64]")
	for i = 1, n do
		local j = band(i, 63)
		a[j] = a[j] + 1
	end
	local s = 0
	for i = 0, 63 do
		s = s + a[i]
	end
	return s, n
end)

form("FFI 64-bit numbers", function(n)
	local s, i, last = 0ULL, 1LL, ffi.cast("int64_t", n)
	while i <= last do
		s = s + ffi.cast("uint64_t", i)
		i = i + 1
	end
	return tonumber(s), sum(n)
end)

form("allocating", function(n)
	local t = {v = 0}
	for i = 1, n do
		t = {v = t.v + i, last = t}
		t.last.last = nil
	end
	return t.v, sum(n)
end)

-- What LuaJIT on arm64 gives the wrong sign if it is built without more ado. A store, so that nothing is folded.
if checkhook then
	form("negated difference of products", function(n)
		local x = ffi.new "double[1]"
		for i = 1, n do
			x[0] = -(i * 1.5 - (i + 1) * 0.5)
		end
		return x[0], -(n * 1.5 - (n + 1) * 0.5)
	end)
end

-- ---- Judging them -------------------------------------------------------------------------------------------

local links -- how the traces ended that were compiled in this run; nil: nobody asks

jit.attach(function(what, trace)
	if links and what == "stop" then
		links[require("jit.util").traceinfo(trace).linktype] = true
	end
end, "trace")

local function fail(f, text, ...)
	error(("%s: " .. text):format(f.name, ...), 0)
end

-- Runs a form once. Its result must be right, always.
local function try(f, n, preempt)
	local got, want, times, seconds, latency = run(f.name, f.f, n, preempt)
	if got ~= want then
		fail(f, "gives %.17g for n = %d%s, not %.17g", got, n, preempt and " when pre-empted" or "", want)
	end
	return {seconds = seconds, times = times, latency = latency}
end

-- The same from no traces at all, and with nothing blacklisted. Says whether the loop was compiled meanwhile.
local function trycold(f, n, preempt)
	jit.flush()
	jit.on(f.f, true)
	links = {}
	local r = try(f, n, preempt)
	local seen = {}
	for link in pairs(links) do
		seen[#seen + 1] = link
		r.compiled = r.compiled or link:find(f.link) ~= nil
	end
	r.links = table.concat(seen, ", ")
	links = nil
	return r
end

-- Runs a form as often as it takes for good(result), but TRIES times at most and longer each time: what is
-- compiled when is partly chance in LuaJIT, a signal may be late, and the machine busy.
local function trytimes(f, n, preempt, good)
	local r
	for _ = 1, TRIES do
		r = trycold(f, n, preempt)
		if good(r) then
			return r
		end
		n = math.min(n * 2, MOST)
	end
	if not r.compiled then
		fail(f, "not compiled%s: no trace ends in %s (but in: %s)", preempt and " when pre-empted" or "", f.link, r.links)
	end
	fail(f, "pre-empted %d times in %.0f ms, at worst %.1f ms after the signal", r.times, r.seconds * 1e3,
		r.latency * 1e3)
end

local function judge(f)
	local n = 100000
	local r = trytimes(f, n, false, function(alone)
		return alone.compiled
	end)
	if not checkhook then
		return
	end
	while r.seconds < SLICE / 4 and n < MOST do
		n = n * 4
		r = try(f, n)
	end
	n = math.min(math.ceil(n * SLICE / r.seconds / 100000) * 100000, MOST)
	trytimes(f, n, true, function(cut)
		return cut.compiled and cut.times >= LEAST and cut.latency <= BOUND
	end)
end

-- ---- The surroundings ---------------------------------------------------------------------------------------

-- Scripts must find the distribution's modules and see its language: what its own luajit answers stands in the
-- environment, where there is one. The entry of its jit.* modules is its own: they fit one build only.
local function paths(s)
	return (s:gsub("[^;]*/luajit%-[^;]*;?", ""))
end
for _, field in ipairs {"path", "cpath"} do
	local theirs = os.getenv("SELFTEST_" .. field:upper())
	local ours = package[field]
	if theirs and theirs ~= "" and paths(theirs) ~= paths(ours) then
		error(("package.%s is\n\t%s\nwhere the distribution's luajit has\n\t%s"):format(field, ours, theirs), 0)
	end
end
local compat = os.getenv("SELFTEST_LUA52COMPAT")
if compat and compat ~= "" and compat ~= (coroutine.running() and "1" or "0") then
	error("LUAJIT_ENABLE_LUA52COMPAT is not as in the distribution's luajit", 0)
end

-- The modules of -jv, -jdump and -bl load, and are those of this build.
if share then
	package.path = share .. "/?.lua"
	for _, name in ipairs {"vmdef", "bc", "v", "dump", "p"} do
		require("jit." .. name)
	end
	local names = require("jit.vmdef").bcnames
	for i, name in ipairs {"ISLT", "ISGE"} do
		assert(names:sub(i * 6 - 5, i * 6 - 2) == name, "jit.vmdef is not usable")
	end
end

assert(jit.status(), "the JIT compiler is off")
for _, f in ipairs(forms) do
	judge(f)
end
