-- SPDX-License-Identifier: MIT

-- after: channels that get the time once, by themselves; in selects, and far from where they were made.
--
-- Prints:
--   a number, once
--   timeout by after: the slow one lost
--   far away: 10 of 10
--   the first of three
--   nobody waits: the program ends

local lp = luapark

local before = lp.now()
local c = lp.after(0.01)
local t, ok = c:recv()
local _, _, ready = c:tryrecv()
print(t - before >= 0.01 and ok and not ready and "a number, once")

local slow = chan()
go(function()
  lp.sleep(3600)
  slow:send "late"
end):daemon()
local i = lp.select { slow, lp.after(0.005) }
print("timeout by after: the slow one " .. (i == 2 and "lost" or "won"))

local out = chan()
for k = 1, 10 do
  local from = lp.now()
  go(function(timer, since)
    local v = timer:recv()
    out:send(type(v) == "number" and lp.now() - since >= k / 1000)
  end, lp.after(k / 1000), from)
end
local n = 0
for _ = 1, 10 do
  n = n + (out:recv() and 1 or 0)
end
print(("far away: %d of 10"):format(n))

i = lp.select { lp.after(60), lp.after(0.001), lp.after(60) }
print(i == 2 and "the first of three")

lp.after(3600)
print "nobody waits: the program ends"
