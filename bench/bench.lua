-- SPDX-License-Identifier: MIT

-- The Luapark half of `make bench`. go/main.go is the other half: same names, same work, same form of output.
--
--   luapark bench.lua NAME [N]    prints one line: NAME VALUE UNIT
--
-- N is the size of a repetition (operations, leaves or goroutines) and is chosen here where it is not given.
-- The number of processors is LUAPARK_MAXPROCS, from the environment.

local hist = require "luapark.hist"

local now, numgoroutine = luapark.now, luapark.numgoroutine

local function fail(why)
  io.stderr:write("bench: ", why, "\n")
  os.exit(1)
end

-- Keeps both halves honest: what was sent has arrived.
local function check(got, want)
  if got ~= want then
    fail(("wrong result: %s, not %s"):format(got, want))
  end
end

-- Measuring ----------------------------------------------------------------------------------------------------------

local function elapsed(work, n)
  local start = now()
  work(n)
  return now() - start
end

local function median(repetitions, work, n)
  local times = {}
  for i = 1, repetitions do
    times[i] = elapsed(work, n)
  end
  table.sort(times)
  return times[(repetitions + 1) / 2]
end

-- The median of five repetitions of 80 ms or more, in ns per operation. Finding their size is the warm-up.
local function peroperation(work, n)
  if n then
    work(n)
  else
    n = 1000
    while elapsed(work, n) < 0.080 do
      n = n * 2
    end
  end
  return median(5, work, n) / n * 1e9, "ns"
end

-- The median of three repetitions, in ms, after one to warm up: for work whose size is given.
local function total(work, n)
  work(n)
  return median(3, work, n) * 1e3, "ms"
end

local function resident()
  collectgarbage()
  collectgarbage()
  local status = assert(io.open("/proc/self/status"))
  local kilobytes = status:read("*a"):match("VmRSS:%s*(%d+)")
  status:close()
  return kilobytes * 1024
end

-- What the process has grown by for each of n, once; a second time would find the memory at hand.
local function residentbytes(work, n)
  local before = resident()
  work(n)
  return (resident() - before) / n, "bytes"
end

-- The work -----------------------------------------------------------------------------------------------------------

local function empty() end

-- Starts goroutines in batches that fit Go's local run queue, or it would pay for the overflow. Their end is
-- seen in the number of goroutines, so that they do nothing.
local function spawn(n)
  local before = numgoroutine()
  while n > 0 do
    local batch = math.min(n, 200)
    for _ = 1, batch do
      go(empty)
    end
    while numgoroutine() > before do
      gosched()
    end
    n = n - batch
  end
end

-- Two goroutines take turns.
local function yield(n)
  local wg = luapark.waitgroup()
  for _ = 1, 2 do
    wg:go(function()
      for _ = 1, n / 2 do
        gosched()
      end
    end)
  end
  wg:wait()
end

-- One operation is a round trip over two unbuffered channels.
local function pingpong(n)
  local ping, pong = chan(), chan()
  go(function()
    for _ = 1, n do
      pong:send((ping:recv()))
    end
  end)
  local sum = 0
  for i = 1, n do
    ping:send(i)
    sum = sum + pong:recv()
  end
  check(sum, n * (n + 1) / 2)
end

local function buffered_int(n)
  local c = chan(128)
  go(function()
    for i = 1, n do
      c:send(i)
    end
  end)
  local sum = 0
  for _ = 1, n do
    sum = sum + c:recv()
  end
  check(sum, n * (n + 1) / 2)
end

-- 1,024 distinct strings of 32 bytes.
local names = {}
for i = 0, 1023 do
  names[i] = ("%032d"):format(i)
end

local function buffered_str(n)
  local c = chan(128)
  go(function()
    for i = 1, n do
      c:send(names[i % 1024])
    end
  end)
  local sum = 0
  for _ = 1, n do
    sum = sum + #c:recv()
  end
  check(sum, 32 * n)
end

-- Eight producers send to one channel.
local function fanin8(n)
  local c = chan(64)
  local each = math.floor(n / 8)
  for _ = 1, 8 do
    go(function()
      for i = 1, each do
        c:send(i)
      end
    end)
  end
  local sum = 0
  for _ = 1, each * 8 do
    sum = sum + c:recv()
  end
  check(sum, 8 * (each * (each + 1) / 2))
end

-- Receives from two channels, each with a producer of its own.
local function select2(capacity, n)
  local a, b = chan(capacity), chan(capacity)
  local half = math.floor(n / 2)
  local function produce(c)
    for i = 1, half do
      c:send(i)
    end
  end
  go(produce, a)
  go(produce, b)
  local sum = 0
  local cases = { a, b }
  for _ = 1, half * 2 do
    local _, v = luapark.select(cases)
    sum = sum + v
  end
  check(sum, half * (half + 1))
end

-- The same from eight, each with a producer of its own.
local function select8(n)
  local cases, each = {}, math.floor(n / 8)
  local function produce(c)
    for i = 1, each do
      c:send(i)
    end
  end
  for i = 1, 8 do
    cases[i] = chan(0)
    go(produce, cases[i])
  end
  local sum = 0
  for _ = 1, each * 8 do
    local _, v = luapark.select(cases)
    sum = sum + v
  end
  check(sum, 4 * each * (each + 1))
end

-- One operation is a timer that is made and stopped before it is due.
local function timer(n)
  local new, stopped = luapark.timer, 0
  for _ = 1, n do
    if new(3600):stop() then
      stopped = stopped + 1
    end
  end
  check(stopped, n)
end

-- One operation is a context that can be canceled, one of a thousand children that end with their parent.
local function context(n)
  local withcancel, background = luapark.context.withcancel, luapark.context.background()
  local last
  for _ = 1, n / 1000 do
    local parent, cancel = withcancel(background)
    for _ = 1, 1000 do
      last = withcancel(parent)
    end
    cancel()
    check(last:err(), "context canceled")
  end
end

-- How much longer than asked for n sleeps of 100 us are, in the mean.
local function overshoot(_, n)
  local sum = 0
  for _ = 1, n do
    local start = now()
    luapark.sleep(100e-6)
    sum = sum + now() - start - 100e-6
  end
  return sum / n * 1e6, "us"
end

-- One operation is a lock and an unlock that nobody contends for.
local function mutex(n)
  local m = luapark.mutex()
  local count = 0
  for _ = 1, n do
    m:lock()
    count = count + 1
    m:unlock()
  end
  check(count, n)
end

-- 1,024 latencies in microseconds, from 20 us to 20 ms, in no order.
local latencies = {}
for i = 0, 1023 do
  latencies[i] = math.floor(20 * 1000 ^ (i * 389 % 1024 / 1024))
end

-- One operation is a value recorded in a histogram.
local function histogram(n)
  local h = hist.new()
  for i = 1, n do
    h:record(latencies[i % 1024])
  end
  check(h:count(), n)
end

-- A hundred goroutines take turns at a mutex; who has it lets the others run, so that they have to wait.
local function mutex100(n)
  local m, wg = luapark.mutex(), luapark.waitgroup()
  local count, each = 0, math.ceil(n / 100)
  for _ = 1, 100 do
    wg:go(function()
      for _ = 1, each do
        m:lock()
        count = count + 1
        gosched()
        m:unlock()
      end
    end)
  end
  wg:wait()
  check(count, each * 100)
end

-- One operation is one of a thousand goroutines that are counted, and waited for.
local function waitgroup(n)
  local wg = luapark.waitgroup()
  for _ = 1, n, 1000 do
    for _ = 1, 1000 do
      wg:go(empty)
    end
    wg:wait()
  end
end

-- One operation is a reader's lock and unlock that nobody contends for.
local function rwmutex(n)
  local m = luapark.rwmutex()
  local count = 0
  for _ = 1, n do
    m:rlock()
    count = count + 1
    m:runlock()
  end
  check(count, n)
end

-- Reads and writes numbers in a map of a thousand strings, nine to one.
local function map(n)
  local m, sum = luapark.map(), 0
  for i = 0, 1023 do
    m:store(names[i], 1)
  end
  for i = 1, n do
    if i % 10 == 0 then
      m:store(names[i % 1024], 1)
    else
      sum = sum + m:load(names[i % 1024])
    end
  end
  check(sum, n - math.floor(n / 10))
end

local function node(up, first, leaves)
  if leaves == 1 then
    up:send(first)
    return
  end
  local c = chan()
  local share = leaves / 10
  for i = 0, 9 do
    go(node, c, first + i * share, share)
  end
  local sum = 0
  for _ = 1, 10 do
    sum = sum + c:recv()
  end
  up:send(sum)
end

-- The tree of goroutines, ten to a node, whose n leaves send their numbers up; n is a power of ten.
local function skynet(n)
  local c = chan()
  go(node, c, 0, n)
  check(c:recv(), n * (n - 1) / 2)
end

-- Keeps this P busy until count goroutines that were spawned have said in the channel started that they run. So they
-- run elsewhere, and stay there.
local function awaitelsewhere(started, count)
  local giveup = now() + 1
  while luapark.gomaxprocs() > 1 and started:len() < count do
    if now() > giveup then
      fail("what was spawned did not start on another P")
    end
  end
end

local function partner(started, ping, pong, n)
  started:send(true)
  for _ = 1, n do
    pong:send((ping:recv()))
  end
end

-- The same as pingpong, with the partner on another P.
local function remote_pingpong(n)
  local started, ping, pong = chan(1), chan(), chan()
  luapark.spawn(partner, started, ping, pong, n)
  awaitelsewhere(started, 1)
  local sum = 0
  for i = 1, n do
    ping:send(i)
    sum = sum + pong:recv()
  end
  check(sum, n * (n + 1) / 2)
end

local function link(from, to, laps)
  for _ = 1, laps do
    to:send(from:recv() + 1)
  end
end

local function remotelink(started, from, to, laps)
  started:send(true)
  link(from, to, laps)
end

-- A thousand goroutines in a ring, this one among them, hand a number round, each adding one; every second of them
-- lives on another P. One operation is a hop.
local function ring(n)
  local laps = math.floor(n / 1000)
  local started, first = chan(500), chan()
  local last = first
  for i = 1, 999 do
    local to = chan()
    if i % 2 == 1 then
      luapark.spawn(remotelink, started, last, to, laps)
    else
      go(link, last, to, laps)
    end
    last = to
  end
  awaitelsewhere(started, 500)
  local hops = 0
  for _ = 1, laps do
    first:send(hops + 1)
    hops = last:recv()
  end
  check(hops, laps * 1000)
end

local function fib(n)
  if n < 2 then
    return n
  end
  return fib(n - 1) + fib(n - 2)
end

local function sendfib(c, n)
  c:send(fib(n))
end

-- n goroutines compute fib(32) each, started by a plain go.
local function parallel_fib(n)
  local c = chan()
  for _ = 1, n do
    go(sendfib, c, 32)
  end
  local sum = 0
  for _ = 1, n do
    sum = sum + c:recv()
  end
  check(sum, n * 2178309)
end

-- How late a goroutine wakes that sleeps for a millisecond, n times, beside one that never waits: the given one of the
-- n delays in order, in ms.
local function lateness(which, n)
  local late, done = {}, false
  go(function()
    for i = 1, n do
      local due = now() + 0.001
      luapark.sleep(0.001)
      late[i] = (now() - due) * 1e3
    end
    done = true
  end)
  local x = 0
  while not done do
    x = x + 1
  end
  table.sort(late)
  return late[math.ceil(which * n)], "ms"
end

-- Runs fn(n) beside a goroutine that sleeps for a millisecond at a time.
local function besidesleeper(fn)
  return function(n)
    local done = false
    go(function()
      while not done do
        luapark.sleep(0.001)
      end
    end)
    fn(n)
    done = true
  end
end

local function a(i, j)
  return 1 / ((i + j) * (i + j + 1) / 2 + i + 1)
end

local function times(n, x, y, transposed)
  for i = 0, n - 1 do
    local sum = 0
    for j = 0, n - 1 do
      sum = sum + x[j] * (transposed and a(j, i) or a(i, j))
    end
    y[i] = sum
  end
end

-- The spectral norm of an infinite matrix, of which n * n is looked at.
local function spectral(n)
  local u, v, w = {}, {}, {}
  for i = 0, n - 1 do
    u[i] = 1
  end
  for _ = 1, 10 do
    times(n, u, w, false)
    times(n, w, v, true)
    times(n, v, w, false)
    times(n, w, u, true)
  end
  local uv, vv = 0, 0
  for i = 0, n - 1 do
    uv, vv = uv + u[i] * v[i], vv + v[i] * v[i]
  end
  check(math.floor(math.sqrt(uv / vv) * 1e5), 127422)
end

-- n steps of a sun and four planets.
local function nbody(n)
  local bodies = {}
  for i = 1, 5 do
    bodies[i] = { x = i * 1.5, y = i % 3 - 1, z = i / 7, vx = 0.01 * i, vy = -0.02 * i, vz = 0.005,
      mass = i == 1 and 39 or 0.03 / i }
  end
  for _ = 1, n do
    for i = 1, 5 do
      local p = bodies[i]
      for j = i + 1, 5 do
        local q = bodies[j]
        local dx, dy, dz = p.x - q.x, p.y - q.y, p.z - q.z
        local square = dx * dx + dy * dy + dz * dz
        local pull = 0.001 / (square * math.sqrt(square))
        p.vx, p.vy, p.vz = p.vx - dx * q.mass * pull, p.vy - dy * q.mass * pull, p.vz - dz * q.mass * pull
        q.vx, q.vy, q.vz = q.vx + dx * p.mass * pull, q.vy + dy * p.mass * pull, q.vz + dz * p.mass * pull
      end
    end
    for i = 1, 5 do
      local p = bodies[i]
      p.x, p.y, p.z = p.x + 0.001 * p.vx, p.y + 0.001 * p.vy, p.z + 0.001 * p.vz
    end
  end
end

-- n * n points of the Mandelbrot set.
local function mandelbrot(n)
  local inside = 0
  for y = 0, n - 1 do
    for x = 0, n - 1 do
      local cr, ci, zr, zi, k = 3 * x / n - 2, 2 * y / n - 1, 0, 0, 0
      while k < 50 and zr * zr + zi * zi < 4 do
        zr, zi, k = zr * zr - zi * zi + cr, 2 * zr * zi + ci, k + 1
      end
      inside = inside + (k == 50 and 1 or 0)
    end
  end
  check(inside > n * n / 5 and inside < n * n / 3, true)
end

-- What a benchmark takes with pre-emption, in percent of what it takes without: each time in a process of its own, the
-- two by turns, the median of n ratios.
local function preempted(name, n)
  local function took(environment)
    local pipe = assert(io.popen(("env %s '%s' '%s' %s"):format(environment, arg[-1], arg[0], name)))
    local ms = tonumber(pipe:read("*a"):match("^%S+ (%S+) ms"))
    pipe:close()
    return ms or fail(name .. " failed")
  end
  local ratios = {}
  for i = 1, n do
    local without = took("LUAPARK_PREEMPT=0")
    ratios[i] = took("-u LUAPARK_PREEMPT") / without * 100
  end
  table.sort(ratios)
  return ratios[math.ceil(n / 2)], "%"
end

-- What park leaves behind; out here so that it is in use while it is measured.
local parked

-- Leaves n goroutines blocked in a receive. On one processor none is between its count and its receive when another
-- runs.
local function park(n)
  local started = 0
  parked = chan()
  local function wait()
    started = started + 1
    parked:recv()
  end
  for _ = 1, n do
    go(wait)
  end
  while started < n do
    gosched()
  end
end

-- Each benchmark is the work, done n times, and the way to measure it, with n where that does not find out.
local benchmarks = {
  spawn = { spawn, peroperation },
  yield = { yield, peroperation },
  pingpong = { pingpong, peroperation },
  buffered_int = { buffered_int, peroperation },
  buffered_str = { buffered_str, peroperation },
  fanin8 = { fanin8, peroperation },
  select2 = { function(n) select2(0, n) end, peroperation },
  select2_buffered = { function(n) select2(128, n) end, peroperation },
  select8 = { select8, peroperation },
  mutex = { mutex, peroperation },
  timer = { timer, peroperation },
  context = { context, peroperation },
  overshoot = { nil, overshoot, 2000 },
  histogram = { histogram, peroperation },
  mutex100 = { mutex100, peroperation },
  rwmutex = { rwmutex, peroperation },
  waitgroup = { waitgroup, peroperation },
  map = { map, peroperation },
  skynet = { skynet, total, 1000000 },
  remote_pingpong = { remote_pingpong, peroperation },
  ring = { ring, peroperation, 200000 },
  parallel_fib = { parallel_fib, total, 16 },
  parked_100k = { park, residentbytes, 100000 },
  parked_1m = { park, residentbytes, 1000000 },
  late_p50 = { 0.5, lateness, 200 },
  late_max = { 1, lateness, 200 },
  spectral = { besidesleeper(spectral), total, 1500 },
  nbody = { besidesleeper(nbody), total, 2000000 },
  mandelbrot = { besidesleeper(mandelbrot), total, 2500 },
  spectral_preempt = { "spectral", preempted, 5 },
  nbody_preempt = { "nbody", preempted, 5 },
  mandelbrot_preempt = { "mandelbrot", preempted, 5 },
}

local name, size = ...
if not name then
  fail("usage: luapark bench.lua NAME [N]")
end
local benchmark = benchmarks[name] or fail("no benchmark " .. name)
local work, measure, n = unpack(benchmark, 1, 3)
if size then
  n = tonumber(size)
  if not n or n < 1 or n % 1 ~= 0 then
    fail("N must be a positive integer")
  end
end
local value, unit = measure(work, n)
print(("%s %.2f %s"):format(name, value, unit))
