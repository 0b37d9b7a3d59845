-- SPDX-License-Identifier: MIT

-- select: receives from whichever has something, sends to whoever takes it, gives up in time.
--
-- Prints:
--   a: 40, b: 40, c: 40
--   closed: 3
--   default, timeout, timeout
--   sent 30, received 30
--   quit
--   a nil case and a false one are never ready: 3

local lp = luapark

-- Three streams until all of them have ended.
local function stream(c, n)
  for i = 1, n do
    c:send(i)
    if i % 7 == 0 then
      gosched()
    end
  end
  c:close()
end
local cases, counts, closed = { chan(), chan(1), chan(8) }, { 0, 0, 0 }, 0
for i = 1, 3 do
  go(stream, cases[i], 40)
end
while closed < 3 do
  local i, v, ok = lp.select(cases)
  if ok then
    counts[i] = counts[i] + 1
    assert(v == counts[i])
  else
    closed = closed + 1
    cases[i] = false
  end
end
print(("a: %d, b: %d, c: %d"):format(unpack(counts)))
print("closed: " .. closed)

local empty = chan()
print(("%s, %s, %s"):format(lp.select { empty, default = true }, lp.select { empty, timeout = 0 },
  (lp.select { empty, { empty, send = 1 }, timeout = 0.002 })))

-- One goroutine sends and receives at once; its partners do one thing each.
local out, back = chan(), chan()
local function echo(from, to, n)
  for _ = 1, n do
    to:send((from:recv()))
  end
end
go(echo, out, back, 30)
local sent, received = 0, 0
while received < 30 do
  local i, v = lp.select { back, sent < 30 and { out, send = sent + 1 } or false }
  if i == 1 then
    received = received + 1
    assert(v == received)
  else
    sent = sent + 1
  end
end
print(("sent %d, received %d"):format(sent, received))

-- A loop that a quit channel ends.
local function forever(work, quit, bye)
  while true do
    local i = lp.select { work, quit }
    if i == 2 then
      bye:send "quit"
      return
    end
  end
end
local work, quit, bye = chan(), chan(), chan()
go(forever, work, quit, bye)
for i = 1, 20 do
  work:send(i)
end
quit:close()
print((bye:recv()))

local ready = chan(1)
ready:send(1)
print("a nil case and a false one are never ready: " .. lp.select { false, {}, ready, timeout = 10 })
