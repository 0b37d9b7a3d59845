-- SPDX-License-Identifier: MIT

-- synctest: tests of what takes time, in no time, with the same outcome each time.
--
-- `retry` is what is tested: it waits longer after each failure, and gives up with its context. In a bubble its hour is over
-- as soon as nobody has anything to do but wait for it, and lp.now() tells to the digit when what has happened. The
-- same works in busted: call synctest.run in an `it`.
--
-- Prints:
--   at 0 s: attempt 1
--   at 1 s: attempt 2
--   at 3 s: attempt 3
--   ok
--   the last of 12 attempts was at 2047 s
--   at 3600 s: nil, context deadline exceeded
--   deadlock: all goroutines in bubble are blocked

local lp = luapark
local synctest = require "luapark.synctest"
local context = lp.context

local function retry(ctx, attempt)
  local pause = 1
  while true do
    local ok = attempt()
    if ok then
      return ok
    end
    local slept, why = lp.sleep(pause, ctx)
    if not slept then
      return nil, why
    end
    pause = pause * 2
  end
end

-- The third attempt goes well.
synctest.run(function()
  local n = 0
  print(retry(context.background(), function()
    n = n + 1
    print(("at %g s: attempt %d"):format(lp.now(), n))
    return n == 3 and "ok"
  end))
end)

-- No attempt does; wait lets everybody else get as far as they can.
synctest.run(function()
  local n, last, result = 0, nil, nil
  go(function()
    local ctx = context.withtimeout(context.background(), 3600)
    local ok, why = retry(ctx, function() n, last = n + 1, lp.now() end)
    result = ("at %g s: %s, %s"):format(lp.now(), tostring(ok), why)
  end)
  lp.sleep(3600)
  synctest.wait()
  print(("the last of %d attempts was at %g s"):format(n, last))
  print(result)
end)

-- Who can only wait for ever is found at once. The report goes on with the stack of each goroutine.
local _, err = pcall(synctest.run, function()
  chan():recv()
end)
print((err:match "^[^\n]*"))
