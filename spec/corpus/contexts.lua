-- SPDX-License-Identifier: MIT

-- contexts: trees of contexts over goroutines that may be anywhere: what ends one ends all below it, and nothing else.
--
-- Prints:
--   40 workers ended by one cancel: stop
--   of 3 subtrees one ended: 5 ended, 10 live
--   the nearer deadline: 8 of 8
--   values: alice nil 3 7
--   canceled by somebody else: 10 of 10
--   one cause for all: 20 of 20
--   waits that gave up: read, accept, receive, send, sleep
--   called when it ended: 12, not called: 12
--   20 levels deep: all
--   withoutcancel lives
--   goroutines left: 1

local lp = luapark
local net = require "luapark.net"
local context = lp.context
local spawn, bg = lp.spawn, context.background()

do
  local ctx, cancel = context.withcancel(bg)
  local begun, out = lp.waitgroup(), chan()
  begun:add(40)
  for i = 1, 40 do
    spawn(function()
      local mine = i % 2 == 0 and ctx or context.withtimeout(ctx, 3600)
      begun:done()
      if i % 3 == 0 then
        mine:done():recv()
      elseif i % 3 == 1 then
        lp.sleep(3600, mine)
      else
        lp.select { chan(), ctx = mine }
      end
      out:send(mine:cause())
    end)
  end
  begun:wait()
  cancel "stop"
  local n, cause = 0, nil
  for _ = 1, 40 do
    cause = out:recv()
    n = n + (cause == "stop" and 1 or 0)
  end
  print(("%d workers ended by one cancel: %s"):format(n, cause))
end

do
  local root, cancelroot = context.withcancel(bg)
  local out, ready, quit, cancels = chan(15), lp.waitgroup(), chan(), {}
  ready:add(15)
  for k = 1, 3 do
    local sub, cancel = context.withcancel(root)
    cancels[k] = cancel
    for _ = 1, 5 do
      spawn(function()
        local mine = context.withcancel(sub)
        ready:done()
        local which = lp.select { mine:done(), quit }
        out:send(which == 1 and k or 0)
      end)
    end
  end
  ready:wait()
  cancels[2] "only this"
  local ended = 0
  for _ = 1, 5 do
    ended = ended + (out:recv() == 2 and 1 or 0)
  end
  quit:close()
  local live = 0
  for _ = 1, 10 do
    live = live + (out:recv() == 0 and 1 or 0)
  end
  cancelroot()
  print(("of 3 subtrees one ended: %d ended, %d live"):format(ended, live))
end

do
  local out, n = chan(), 0
  local near, cancelnear = context.withtimeout(bg, 0.02, "the parent's")
  for i = 1, 8 do
    spawn(function()
      local mine = context.withtimeout(near, i % 2 == 0 and 3600 or -1, "its own")
      mine:done():recv()
      out:send(mine:cause() == (i % 2 == 0 and "the parent's" or near:err() and mine:cause() or "its own") and
        mine:err() == "context deadline exceeded" and mine:deadline() <= near:deadline())
    end)
  end
  for _ = 1, 8 do
    n = n + (out:recv() and 1 or 0)
  end
  cancelnear()
  print(("the nearer deadline: %d of 8"):format(n))
end

do
  local out = chan()
  local ctx = context.withvalue(context.withvalue(context.withvalue(bg, "user", "bob"), "user", "alice"), 5, { 1, 2, 3 })
  local hidden = context.withvalue(ctx, "user", nil)
  spawn(function()
    local more = context.withvalue(hidden, "n", 7)
    out:send { ctx:value "user", tostring(more:value "user"), #more:value(5), more:value "n" }
  end)
  local t = out:recv()
  print(("values: %s %s %d %d"):format(t[1], t[2], t[3], t[4]))
end

do
  local n = 0
  for i = 1, 10 do
    local ctx, cancel = context.withcancel(bg)
    local kid = context.withcancel(ctx)
    spawn(function() cancel(i) end)
    if i % 2 == 0 then
      kid:done():recv()
    else
      lp.sleep(3600, kid)
    end
    n = n + (kid:cause() == i and ctx:cause() == i and 1 or 0)
  end
  print(("canceled by somebody else: %d of 10"):format(n))
end

do
  local n = 0
  for _ = 1, 20 do
    local ctx, cancel = context.withtimeout(bg, 0.0005, "late")
    local out = chan(4)
    for k = 1, 4 do
      spawn(function()
        cancel(k)
        out:send { ctx:err(), ctx:cause() }
      end)
    end
    ctx:done():recv()
    local err, cause = ctx:err(), ctx:cause()
    local same = err == (cause == "late" and "context deadline exceeded" or "context canceled")
    for _ = 1, 4 do
      local t = out:recv()
      same = same and t[1] == err and t[2] == cause
    end
    n = n + (same and 1 or 0)
  end
  print(("one cause for all: %d of 20"):format(n))
end

do
  local ln = assert(net.listen("tcp", "127.0.0.1:0"))
  local a = assert(net.dial("tcp", ln:addr()))
  local b = assert(ln:accept())
  local ctx, cancel = context.withcancel(bg)
  local begun, out, c, d = lp.waitgroup(), chan(), chan(), chan()
  begun:add(5)
  spawn(function() begun:done() out:send { "read", select(3, a:read("*l", ctx)) } end)
  spawn(function() begun:done() out:send { "accept", select(3, ln:accept(ctx)) } end)
  spawn(function() begun:done() out:send { "receive", select(3, lp.select { c, ctx = ctx }) } end)
  spawn(function() begun:done() out:send { "send", select(3, lp.select { { d, send = 1 }, false, ctx = ctx }) } end)
  spawn(function() begun:done() out:send { "sleep", select(3, lp.sleep(3600, ctx)) } end)
  begun:wait()
  cancel()
  local gaveup = {}
  for _ = 1, 5 do
    local t = out:recv()
    gaveup[t[1]] = t[2] == "ECANCELED"
  end
  local words = {}
  for _, what in ipairs { "read", "accept", "receive", "send", "sleep" } do
    words[#words + 1] = gaveup[what] and what or "NOT " .. what
  end
  a:close()
  b:close()
  ln:close()
  print("waits that gave up: " .. table.concat(words, ", "))
end

do
  local called, wg, out = lp.atomic(), lp.waitgroup(), chan()
  wg:add(12)
  local ctx, cancel = context.withcancel(bg)
  for _ = 1, 3 do
    spawn(function()
      local stopped = 0
      for i = 1, 8 do
        local stop = context.afterfunc(ctx, function()
          called:add(1)
          wg:done()
        end)
        if i % 2 == 0 then
          stopped = stopped + (stop() and 1 or 0)
        end
      end
      out:send(stopped)
    end)
  end
  local stopped = out:recv() + out:recv() + out:recv()
  cancel()
  wg:wait()
  print(("called when it ended: %d, not called: %d"):format(called:load(), stopped))
end

do
  local root, cancel = context.withcancel(bg)
  local out, bottom = chan(20), chan()
  local function level(n, parent, up, ready)
    local mine = context.withcancel(parent)
    if n > 1 then
      lp.spawn(level, n - 1, mine, up, ready)
    else
      ready:send()
    end
    mine:done():recv()
    up:send(mine:cause())
  end
  spawn(level, 20, root, out, bottom)
  bottom:recv()
  cancel "down"
  local n = 0
  for _ = 1, 20 do
    n = n + (out:recv() == "down" and 1 or 0)
  end
  print("20 levels deep: " .. (n == 20 and "all" or n))
end

do
  local ctx, cancel = context.withcancel(context.withvalue(bg, "k", "v"))
  local free, out = context.withoutcancel(ctx), chan()
  cancel()
  spawn(function()
    out:send(free:value "k" == "v" and not free:err() and ctx:err() and
      lp.select { free:done(), timeout = 0.001 } == "timeout")
  end)
  print(out:recv() and "withoutcancel lives")
end

local turns = 0
while lp.numgoroutine() > 1 and turns < 5000 do
  turns = turns + 1
  lp.sleep(0.001)
end
print("goroutines left: " .. lp.numgoroutine())
