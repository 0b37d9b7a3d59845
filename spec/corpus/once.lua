-- SPDX-License-Identifier: MIT

-- once: many Ps at the same once: one runs it, and all see what it did; also if it failed, or ended its goroutine.
--
-- Prints:
--   200 times: run once, and seen by all
--   1 error, of 20
--   goexit: 19 went on, and 19 found it run

local lp = luapark

local wg = lp.waitgroup()
for _ = 1, 200 do
  local o, n = lp.once(), lp.atomic()
  wg:add(6)
  for i = 1, 6 do
    (i % 2 == 0 and lp.spawn or go)(function()
      o:run(function(counter)
        if i % 3 == 0 then
          gosched()
        end
        counter:add(1)
      end, n)
      assert(n:load() == 1)
      wg:done()
    end)
  end
  wg:wait()
  assert(n:load() == 1)
end
print "200 times: run once, and seen by all"

local function try(o, results)
  local ok, err = pcall(o.run, o, function()
    lp.sleep(0.001)
    error({ "broken" }, 0)
  end)
  results:send(ok or err)
end

local o, results, errors = lp.once(), chan(), 0
for _ = 1, 20 do
  lp.spawn(try, o, results)
end
for _ = 1, 20 do
  local r = results:recv()
  if r ~= true then
    assert(r[1] == "broken")
    errors = errors + 1
  end
end
print(("%d error, of 20"):format(errors))

local exit, went, found = lp.once(), lp.atomic(), lp.atomic()
for _ = 1, 20 do
  wg:go(function()
    exit:run(function()
      lp.sleep(0.001)
      lp.goexit()
    end)
    went:add(1)
    exit:run(error)
    found:add(1)
  end)
end
wg:wait()
print(("goexit: %d went on, and %d found it run"):format(went:load(), found:load()))
