-- SPDX-License-Identifier: MIT

-- accounting: many producers and consumers over one channel, in every way to send and to receive: every item once.
--
-- Prints:
--   capacity 0: 2400 items, each once
--   capacity 1: 2400 items, each once
--   capacity 5: 2400 items, each once
--   capacity 100: 2400 items, each once

local lp = luapark

local PRODUCERS, CONSUMERS, EACH = 12, 9, 200

local function produce(c, id, n, done)
  local never = chan()
  for i = 1, n do
    local v = id * 1000 + i
    if i % 3 == 0 then
      c:send(v)
    elseif i % 3 == 1 then
      lp.select { never, { c, send = v } }
    else
      while not c:trysend(v) do
        gosched()
      end
    end
  end
  done:done()
end

-- Takes until the end; then hands over all that it got.
local function consume(c, id, out)
  local got, never = {}, chan()
  while true do
    local v, ok, ready
    if id % 3 == 0 then
      v, ok = c:recv()
    elseif id % 3 == 1 then
      local _
      _, v, ok = lp.select { never, c }
    else
      v, ok, ready = c:tryrecv()
      while not ready do
        gosched()
        v, ok, ready = c:tryrecv()
      end
    end
    if not ok then
      break
    end
    got[#got + 1] = v
  end
  out:send(got)
end

for _, capacity in ipairs { 0, 1, 5, 100 } do
  local c, out, done = chan(capacity), chan(), lp.waitgroup()
  done:add(PRODUCERS)
  for id = 1, math.max(PRODUCERS, CONSUMERS) do
    if id <= PRODUCERS then
      go(produce, c, id, EACH, done)
    end
    if id <= CONSUMERS then
      go(consume, c, id, out)
    end
  end
  done:wait()
  c:close()
  local seen, n = {}, 0
  for _ = 1, CONSUMERS do
    for _, v in ipairs(out:recv()) do
      assert(not seen[v], "twice")
      seen[v], n = true, n + 1
    end
  end
  for id = 1, PRODUCERS do
    for i = 1, EACH do
      assert(seen[id * 1000 + i], "lost")
    end
  end
  print(("capacity %d: %d items, each once"):format(capacity, n))
end
