-- SPDX-License-Identifier: MIT

-- errgroup: the first error of several goroutines, and the end of the others.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere = helper.run, helper.failshere
local gosched, chan = lp.gosched, lp.chan

describe("an errgroup", function()
  it("of goroutines that end well is true", run(function()
    local eg, ctx = lp.errgroup()
    local n = 0
    for i = 1, 10 do
      eg:go(function(k) n = n + k end, i)
    end
    assert.is_nil(ctx:err())
    assert.is_true(eg:wait())
    assert.equal(55, n)
    assert.equal("context canceled", ctx:err()) -- wait ends it
    assert.is_true(eg:wait())
  end))

  it("that is empty is true", run(function()
    assert.is_true(lp.errgroup():wait())
  end))

  it("returns the first failure, and ends its context with that as the cause", run(function()
    local eg, ctx = lp.errgroup()
    local ended = 0
    for _ = 1, 3 do
      eg:go(function()
        ctx:done():recv()
        ended = ended + 1
        return nil, "late"
      end)
    end
    eg:go(function() return nil, "first" end)
    local ok, err, trace = eg:wait()
    assert.same({ nil, "first", nil }, { ok, err, trace })
    assert.equal(3, ended)
    assert.equal("first", ctx:cause())
    assert.same({ nil, "first" }, { eg:wait() }) -- and again
  end))

  it("takes false and an error as a failure, and nil alone as none", run(function()
    local eg = lp.errgroup()
    eg:go(function() return nil end)
    eg:go(function() return false end)
    eg:go(function() end)
    assert.is_true(eg:wait())
    eg = lp.errgroup()
    eg:go(function() return false, { code = 7 } end)
    local ok, err = eg:wait()
    assert.is_nil(ok)
    assert.same({ code = 7 }, err)
  end))

  it("turns an error into a failure that shows where it was raised", run(function()
    local eg = lp.errgroup()
    local line
    local function deep()
      line = debug.getinfo(1, "l").currentline + 1
      error("boom")
    end
    eg:go(function() deep() end)
    local ok, err, trace = eg:wait()
    assert.is_nil(ok)
    assert.matches("errgroup_spec.lua:" .. line .. ": boom\ngoroutine %d+ %[running%]:\n", err)
    assert.matches("in function 'deep'", trace)
    assert.matches("created by [^\n]*spec/errgroup_spec.lua:%d+ in goroutine", trace)
  end))

  it("keeps error objects, and the text of those that cannot go to others", run(function()
    local eg = lp.errgroup()
    eg:go(function() error({ code = 1 }) end)
    local _, err, trace = eg:wait()
    assert.same({ code = 1 }, err)
    assert.matches("^goroutine %d+ %[running%]:\n\t%[C%]: in function 'error'\n", trace)
    eg = lp.errgroup()
    local n = 0
    eg:go(function() error(setmetatable({ f = function() n = n + 1 end }, { __tostring = function() return "odd" end })) end)
    assert.matches("^odd\n", (select(2, eg:wait())))
  end))

  it("ends with the context it was made of", run(function()
    local parent, cancel = lp.context.withcancel(lp.context.background())
    local eg, ctx = lp.errgroup(parent)
    eg:go(function()
      ctx:done():recv()
      return nil, ctx:err()
    end)
    gosched()
    cancel()
    assert.same({ nil, "context canceled" }, { eg:wait() })
  end))

  it("waits up to a limit", run(function()
    local eg = lp.errgroup()
    local c = chan()
    eg:go(function() c:recv() end)
    assert.same({ nil, "timeout", "ETIMEDOUT" }, { eg:wait(0.002) })
    local ctx, cancel = lp.context.withcancel(lp.context.background())
    lp.go(cancel)
    assert.same({ nil, "context canceled", "ECANCELED" }, { eg:wait(ctx) })
    c:send(1)
    assert.is_true(eg:wait())
  end))

  it("counts a goroutine that ends by goexit", run(function()
    local eg = lp.errgroup()
    eg:setlimit(1)
    eg:go(function() lp.goexit() end)
    eg:go(function() end) -- the slot is free again
    assert.is_true(eg:wait())
  end))

  it("has at most so many at a time as its limit", run(function()
    local eg = lp.errgroup()
    eg:setlimit(3)
    local now, most = 0, 0
    for _ = 1, 50 do
      eg:go(function()
        now = now + 1
        most = math.max(most, now)
        gosched()
        now = now - 1
      end)
    end
    assert.is_true(eg:wait())
    assert.equal(3, most)
  end))

  it("tries to start one", run(function()
    local eg, c = lp.errgroup(), chan()
    eg:setlimit(1)
    assert.is_true(eg:trygo(function() c:recv() end))
    assert.is_false(eg:trygo(function() end))
    failshere("setlimit of an errgroup with goroutines under way", function() eg:setlimit(2) end)
    c:send(1)
    assert.is_true(eg:wait())
    eg:setlimit(nil)
    assert.is_true(eg:trygo(function() end))
    assert.is_true(eg:wait())
  end))

  it("works over many Ps, and as a copy", function()
    local out, err, status = helper.script [[
      local lp = luapark
      local eg, ctx = lp.errgroup()
      local out = chan(100)
      for i = 1, 20 do
        eg:go(function(k) out:send(k) end, i)
      end
      lp.spawn(function(group, c)
        group:go(function() return nil, "from afar" end)
        c:send(0)
      end, eg, out)
      local sum = 0
      for _ = 1, 21 do
        sum = sum + out:recv()
      end
      ctx:done():recv()
      print(sum, eg:wait())
    ]]
    assert.same({ "210\tnil\tfrom afar\tnil\n", "", 0 }, { out, err, status })
  end)

  it("refuses what is wrong, at the caller's line", run(function()
    local eg = lp.errgroup()
    failshere("bad argument #1 to 'errgroup' (context expected, got number)", function() lp.errgroup(1) end)
    failshere("bad argument #1 to 'go' (function expected, got no value)", function() eg:go() end)
    failshere("bad argument #1 to 'trygo' (function expected, got table)", function() eg:trygo({}) end)
    failshere("calling 'go' on bad self (errgroup expected, got function; call it with a colon)", function()
      eg.go(print)
    end)
    failshere("bad argument #1 to 'setlimit' (whole number from 1 or nil expected, got 0)", function() eg:setlimit(0) end)
    failshere("bad argument #1 to 'setlimit' (whole number from 1 or nil expected, got 1.5)", function()
      eg:setlimit(1.5)
    end)
    failshere("bad argument #1 to 'wait' (limit: seconds or a context expected, got string)", function()
      eg:wait("soon")
    end)
  end))
end)
