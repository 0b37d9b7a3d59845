-- SPDX-License-Identifier: MIT

-- goexit: a goroutine ends itself, wherever it stands; nobody catches that, and groups count it.
--
-- Prints:
--   30 ended
--   nothing after goexit: 0
--   from a comparator, a coroutine, a pcall: 3 ended
--   started before the end: child

local lp = luapark

local wg, out = lp.waitgroup(), chan(100)
for i = 1, 30 do
  wg:go(function()
    if i % 2 == 0 then
      gosched()
    end
    lp.goexit()
    out:send "after"
  end)
end
wg:wait()
print "30 ended"
print("nothing after goexit: " .. out:len())

wg:go(function()
  table.sort({ 3, 2, 1 }, function()
    gosched()
    lp.goexit()
  end)
  out:send "after"
end)
wg:go(function()
  coroutine.wrap(function() lp.goexit() end)()
  out:send "after"
end)
wg:go(function()
  pcall(lp.goexit)
  out:send "after"
end)
wg:wait()
print(("from a comparator, a coroutine, a pcall: %d ended"):format(3 - out:len()))

local c = chan()
go(function()
  go(function() c:send "child" end)
  lp.goexit()
end)
print("started before the end: " .. c:recv())
