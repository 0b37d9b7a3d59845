-- SPDX-License-Identifier: MIT

-- context: what Go's package context promises: on one P, for contexts at home and for shared ones, and on several.

local helper = require "spec.helper"
local lp = helper.lp
local run, failshere, settle, prints = helper.run, helper.failshere, helper.settle, helper.prints
local chan, go, gosched, select_ = lp.chan, lp.go, lp.gosched, lp.select
local context = lp.context
local bg = context.background()

local FAR = 3600
local CANCELED, EXCEEDED = "context canceled", "context deadline exceeded"

local function pack(...) return { n = select("#", ...), ... } end

-- Until cond() holds; what ends by itself needs time.
local function eventually(cond)
  for _ = 1, 2000 do
    if cond() then
      return true
    end
    lp.sleep(0.001)
  end
end

local function lives(ctx)
  assert.is_nil(ctx:err())
  assert.is_nil(ctx:cause())
  assert.is_nil(context.cause(ctx))
  assert.same({ nil, false, false }, { ctx:done():tryrecv() })
  assert.equal("default", (select_ { ctx:done(), default = true }))
  assert.equal("context [lives]", tostring(ctx))
end

-- It has ended: why, and by what cause.
local function ended(ctx, err, cause)
  assert.equal(err, ctx:err())
  assert.equal(cause == nil and err or cause, ctx:cause())
  assert.equal(cause == nil and err or cause, context.cause(ctx))
  assert.same({ nil, false, true }, { ctx:done():tryrecv() })
  assert.same({ nil, false }, { ctx:done():recv() })
  assert.same({ n = 3, 1, nil, false }, pack(select_ { ctx:done(), default = true }))
  assert.equal(("context [%s]"):format(err), tostring(ctx))
end

describe("the background", function()
  it("never ends, and has nothing", run(function()
    assert.equal(bg, context.background())
    lives(bg)
    assert.is_nil(bg:deadline())
    assert.is_nil(bg:value "k")
    assert.equal(1, select("#", bg:value "k"))
    assert.equal("timeout", (select_ { bg:done(), timeout = 0.001 }))
    assert.equal(bg:done(), bg:done())
    lives(context.withvalue(bg, "k", 1))
  end))
end)

-- The same rules for contexts at home, for those of a bubble, and for shared ones: whatever is made goes to another P, or
-- may have gone.
for _, kind in ipairs { "at home", "shared", "in a bubble" } do
  local body = kind == "in a bubble" and helper.bubble or run -- there time is exact, and passes at once
  local function known(ctx, ...)
    if kind == "shared" then
      helper.share(ctx)
    end
    return ctx, ...
  end
  local function withcancel(parent) return known(context.withcancel(parent)) end
  local function withtimeout(...) return known(context.withtimeout(...)) end
  local function withdeadline(...) return known(context.withdeadline(...)) end
  local function withvalue(...) return known(context.withvalue(...)) end
  local function withoutcancel(...) return known(context.withoutcancel(...)) end

  -- Where children of a shared context end a moment later.
  local function soon(cond)
    assert.truthy(cond() or kind == "shared" and eventually(cond))
  end

  describe("a context " .. kind, function()
    it("ends when it is canceled, once", body(function()
      local ctx, cancel = withcancel(bg)
      lives(ctx)
      assert.is_nil(ctx:deadline())
      assert.equal(0, select("#", cancel()))
      ended(ctx, CANCELED)
      cancel "too late"
      cancel()
      ended(ctx, CANCELED)
    end))

    it("has the first cause that it was canceled with, of whatever kind", body(function()
      for _, cause in ipairs { "why", 42, true, { why = "table" } } do
        local ctx, cancel = withcancel(bg)
        cancel(cause)
        cancel "another"
        assert.equal(CANCELED, ctx:err())
        assert.same(cause, ctx:cause())
      end
      for _, none in pairs { false } do
        local ctx, cancel = withcancel(bg)
        cancel(none)
        cancel "another"
        ended(ctx, CANCELED)
      end
    end))

    it("ends all that were made of it, not what it was made of, nor their others", body(function()
      local root, cancelroot = withcancel(bg)
      local a, cancela = withcancel(root)
      local b = withcancel(root)
      local av = withvalue(a, "k", 1)
      local a1 = withtimeout(av, FAR)
      local a2, cancela2 = withcancel(a)
      local a11 = withvalue(a1, "k", 2)
      cancela2 "mine"
      ended(a2, CANCELED, "mine")
      for _, ctx in ipairs { root, a, b, av, a1, a11 } do
        lives(ctx)
      end
      cancela "all"
      for _, ctx in ipairs { a, av, a1, a11 } do
        soon(function() return ctx:err() end)
        ended(ctx, CANCELED, "all")
      end
      ended(a2, CANCELED, "mine")
      lives(root)
      lives(b)
      assert.equal(2, a11:value "k")
      cancelroot()
    end))

    it("made of one that has ended has ended, and still tells its deadline", body(function()
      local parent, cancel = withcancel(bg)
      cancel "gone"
      for _, parent2 in ipairs { parent, withvalue(parent, "k", 1) } do
        ended(withcancel(parent2), CANCELED, "gone")
        local ctx = withtimeout(parent2, FAR)
        ended(ctx, CANCELED, "gone")
        assert.is_true(ctx:deadline() > lp.now() + FAR - 60)
        ended(withtimeout(parent2, -1), CANCELED, "gone")
        ended(withvalue(parent2, "k", 2), CANCELED, "gone")
      end
    end))

    it("finds values by key, the nearest first", body(function()
      local k1, k2 = "a key", 7
      local a = withvalue(bg, k1, 1)
      local b = withvalue(a, k2, false)
      local c = withvalue(withcancel(b), k1, "c's")
      local d = withvalue(c, k1, nil)
      assert.equal(1, a:value(k1))
      assert.is_nil(a:value(k2))
      assert.equal(1, b:value(k1))
      assert.is_false(b:value(k2))
      assert.equal("c's", c:value(k1))
      assert.is_false(c:value(k2))
      assert.is_nil(d:value(k1))
      assert.is_nil(d:value(nil))
      assert.is_nil(d:value(0 / 0))
    end))

    it("withoutcancel has values, and no end", body(function()
      local parent, cancel = withtimeout(withvalue(bg, "k", "v"), FAR)
      local ctx = withoutcancel(parent)
      local child = withcancel(ctx)
      cancel "why"
      ended(parent, CANCELED, "why")
      lives(ctx)
      lives(child)
      assert.is_nil(ctx:deadline())
      assert.is_nil(child:deadline())
      assert.equal("v", ctx:value "k")
      assert.equal("v", child:value "k")
    end))

    it("ends at its deadline, not before", body(function()
      for _, make in ipairs { function() return withtimeout(bg, 0.01) end,
        function() return withdeadline(bg, lp.now() + 0.01) end } do
        local t0 = lp.now()
        local ctx = make()
        local t = ctx:deadline()
        assert.is_true(t >= t0 + 0.01 and t < t0 + 10)
        assert.same({ nil, false }, { ctx:done():recv() })
        assert.is_true(lp.now() >= t)
        ended(ctx, EXCEEDED)
        assert.equal(t, ctx:deadline())
      end
    end))

    it("whose deadline has passed has ended by it, whoever cancels it or its parent then", body(function()
      local ctx, cancel = withtimeout(bg, 0.002, "too slow")
      lp.sleep(0.004)
      cancel "why"
      ended(ctx, EXCEEDED, "too slow")
      local parent, cancelparent = withcancel(bg)
      local child = withtimeout(parent, 0.002)
      local grandchild = withcancel(child)
      lp.sleep(0.004)
      cancelparent "why"
      ended(parent, CANCELED, "why")
      ended(child, EXCEEDED)
      ended(grandchild, EXCEEDED)
    end))

    it("has the earlier of its own deadline and its parent's", body(function()
      local now = lp.now()
      local parent, cancel = withdeadline(bg, now + FAR)
      assert.equal(now + 60, withdeadline(parent, now + 60):deadline())
      local child = withvalue(withdeadline(parent, now + 2 * FAR), "k", 1)
      assert.equal(now + FAR, child:deadline())
      assert.equal(now + FAR, withcancel(child):deadline())
      cancel()
      local soonest = withtimeout(bg, 0.003, "the parent's")
      local later = withtimeout(soonest, FAR, "not this one")
      later:done():recv()
      ended(later, EXCEEDED, "the parent's")
      assert.is_true(kind ~= "in a bubble" or lp.now() == now + 0.003)
      parent, cancel = withtimeout(bg, FAR, "not this one")
      local sooner = withtimeout(parent, 0.003, "its own")
      sooner:done():recv()
      ended(sooner, EXCEEDED, "its own")
      cancel()
    end))

    it("whose deadline has passed already has ended", body(function()
      for _, s in ipairs { 0, -1, -math.huge } do
        ended((withtimeout(bg, s)), EXCEEDED)
        ended((withdeadline(bg, s, "cause")), EXCEEDED, "cause")
      end
    end))

    it("whose deadline is never reached just lives", body(function()
      for _, s in ipairs { math.huge, 1e300, 1e15 } do
        local ctx, cancel = withtimeout(bg, s)
        lives(ctx)
        assert.equal(s < math.huge and lp.now() + s or nil, ctx:deadline())
        assert.equal("timeout", (select_ { ctx:done(), timeout = 0.001 }))
        cancel()
        ended(ctx, CANCELED)
      end
    end))

    it("canceled before its deadline has been canceled, then too", body(function()
      local ctx, cancel = withtimeout(bg, 0.005)
      cancel "why"
      lp.sleep(0.01)
      ended(ctx, CANCELED, "why")
    end))

    it("has one channel, from which nobody can send, and which wakes all when it ends", body(function()
      local ctx, cancel = withcancel(bg)
      local value = context.withvalue(ctx, "k", 1)
      local done, n = ctx:done(), 0
      assert.equal(done, ctx:done())
      assert.equal(done, value:done())
      assert.equal(0, done:len())
      assert.equal(0, done:cap())
      failshere("send on receive-only channel", function() done:send(1) end)
      failshere("send on receive-only channel", function() done:trysend(1) end)
      failshere("close of receive-only channel", function() done:close() end)
      for i = 1, 20 do
        go(function()
          if i % 3 == 0 then
            done:recv()
          elseif i % 3 == 1 then
            select_ { chan(), done, done, timeout = FAR }
          else
            for _ in done do end
          end
          n = n + 1
        end)
      end
      settle()
      assert.equal(0, n)
      cancel()
      soon(function() settle() return n == 20 end)
    end))

    it("is a call's limit", body(function()
      local ctx, cancel = withcancel(bg)
      assert.is_true(lp.sleep(0.001, ctx))
      assert.equal("timeout", (select_ { chan(), timeout = 0.001, ctx = ctx }))
      local results = {}
      go(function() results[1] = pack(lp.sleep(FAR, ctx)) end)
      go(function() results[2] = pack(select_ { chan(), ctx = ctx }) end)
      go(function() results[3] = pack(select_ { chan(), ctx:done(), timeout = FAR }) end)
      settle()
      cancel "why"
      assert.is_true(helper.eventually(function() return results[1] and results[2] and results[3] end))
      assert.same({ n = 3, nil, CANCELED, "ECANCELED" }, results[1])
      assert.same({ n = 3, nil, CANCELED, "ECANCELED" }, results[2])
      assert.same({ n = 3, 2, nil, false }, results[3])
      assert.same({ nil, CANCELED, "ECANCELED" }, { lp.sleep(FAR, ctx) }) -- and at once
      local c = chan(1)
      c:send(1)
      assert.same({ nil, CANCELED, "ECANCELED" }, { select_ { c, ctx = ctx } })
      assert.equal(1, c:len())
      local due = withtimeout(bg, 0.002)
      assert.same({ nil, EXCEEDED, "ETIMEDOUT" }, { lp.sleep(FAR, due) })
      due = withtimeout(bg, 0.002)
      assert.same({ nil, EXCEEDED, "ETIMEDOUT" }, { select_ { chan(), ctx = due, timeout = FAR } })
    end))

    it("calls a function when it has ended, once, in a goroutine of its own", body(function()
      local ctx, cancel = withcancel(bg)
      local called, who, other = 0, nil, 0
      local stop = context.afterfunc(ctx, function() called = called + 1; who = lp.getg() end)
      context.afterfunc(context.withvalue(ctx, "k", 1), function() other = other + 1 end)
      settle()
      assert.equal(0, called)
      cancel()
      assert.equal(0, called)
      assert.is_true(helper.eventually(function() return called == 1 and other == 1 end))
      assert.is_true(who ~= nil and who ~= lp.getg())
      assert.is_false(stop())
      -- of one that has ended: soon
      context.afterfunc(ctx, function() called = called + 1 end)
      assert.equal(1, called)
      assert.is_true(helper.eventually(function() return called == 2 end))
      -- at a deadline
      context.afterfunc((withtimeout(bg, 0.002)), function() called = called + 1 end)
      assert.is_true(eventually(function() return called == 3 end))
      settle()
      assert.equal(3, called)
    end))

    it("does not call it if that was stopped before", body(function()
      local ctx, cancel = withcancel(bg)
      local called = 0
      local function fn() called = called + 1 end
      local stop = context.afterfunc(ctx, fn)
      assert.is_true(stop())
      assert.is_false(stop())
      local stop2 = context.afterfunc(ctx, fn) -- and then at once
      settle()
      assert.is_true(stop2())
      cancel()
      settle()
      assert.equal(0, called)
      -- stopped after the end, but before it was called: it is called, and stop says so
      ctx, cancel = withcancel(bg)
      stop = context.afterfunc(ctx, fn)
      settle()
      cancel()
      assert.is_false(stop())
      assert.is_true(helper.eventually(function() return called == 1 end))
      -- what never ends
      stop = context.afterfunc(bg, fn)
      assert.is_true(stop())
      assert.is_false(stop())
      assert.equal(1, called)
    end))

    it("that has come to be known while goroutines wait for it wakes them", body(function()
      local ctx, cancel = context.withcancel(bg)
      local timed = context.withtimeout(bg, 0.02)
      local n = 0
      for _, c in ipairs { ctx, timed } do
        go(function() c:done():recv(); n = n + 1 end)
        go(function() select_ { chan(), c:done() }; n = n + 1 end)
        go(function() select_ { chan(), ctx = c }; n = n + 1 end)
        go(function() lp.sleep(FAR, c); n = n + 1 end)
      end
      settle()
      known(ctx)
      known(timed)
      assert.is_true(eventually(function() return n == 4 end))
      cancel()
      assert.is_true(eventually(function() return n == 8 end))
    end))

    it("that a finalizer ends wakes who waits, and ends its children", body(function()
      local ctx, cancel = withcancel(bg)
      local child = withcancel(ctx)
      local woken = 0
      for _, c in ipairs { ctx, child } do
        go(function() c:done():recv(); woken = woken + 1 end)
        go(function() lp.sleep(FAR, c); woken = woken + 1 end)
      end
      settle()
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = function() cancel "collected" end
      proxy = nil -- luacheck: ignore
      for _ = 1, 10 do
        helper.collect()
      end
      soon(function() settle() return woken == 4 end)
      ended(ctx, CANCELED, "collected")
      ended(child, CANCELED, "collected")
    end))

    it("works under a C function, and in the user's coroutines", body(function()
      local ctx, cancel = withcancel(bg)
      local got
      go(function()
        ("x"):gsub("x", function() got = pack(lp.sleep(FAR, ctx)) end)
      end)
      settle()
      table.sort({ 2, 1 }, function(a, b) cancel(); return a < b end)
      assert.is_true(helper.eventually(function() return got end))
      assert.same({ n = 3, nil, CANCELED, "ECANCELED" }, got)
      local f = coroutine.wrap(function()
        local c, stop = withcancel(bg)
        coroutine.yield(c)
        stop()
        coroutine.yield(c:done():recv())
      end)
      local c = f()
      f()
      ended(c, CANCELED)
    end))

    it("refuses what is wrong at the caller's line, and a dot where a colon belongs", body(function()
      local ctx, cancel = withcancel(bg)
      for _, fname in ipairs { "withcancel", "withtimeout", "withdeadline", "withvalue", "withoutcancel", "cause",
        "afterfunc" } do
        failshere(("bad argument #1 to '%s' (context expected, got no value)"):format(fname),
          function() context[fname](nil, 1, 1) end)
        failshere(("bad argument #1 to '%s' (context expected, got table)"):format(fname),
          function() context[fname]({}, 1, 1) end)
      end
      for _, fname in ipairs { "withtimeout", "withdeadline" } do
        failshere(("bad argument #2 to '%s' (number of seconds expected, got no value)"):format(fname),
          function() context[fname](ctx) end)
        failshere(("bad argument #2 to '%s' (number of seconds expected, got nan)"):format(fname),
          function() context[fname](ctx, 0 / 0) end)
        failshere(("bad argument #2 to '%s' (number of seconds expected, got string)"):format(fname),
          function() context[fname](ctx, "soon") end)
      end
      failshere("bad argument #2 to 'withvalue' (key expected, got nil)", function() context.withvalue(ctx) end)
      failshere("bad argument #2 to 'withvalue' (key expected, got nan)", function() context.withvalue(ctx, 0 / 0, 1) end)
      failshere("bad argument #2 to 'afterfunc' (function expected, got no value)", function() context.afterfunc(ctx) end)
      failshere("bad argument #2 to 'afterfunc' (function expected, got table)",
        function() context.afterfunc(ctx, {}) end)
      for _, method in ipairs { "done", "err", "cause", "deadline", "value" } do
        failshere(("calling '%s' on bad self (context expected, got nil; call it with a colon)"):format(method),
          function() ctx[method]() end)
        failshere(("calling '%s' on bad self (context expected, got string"):format(method),
          function() ctx[method]("k") end)
      end
      failshere("bad argument #1 to 'select' (context expected, got table)", function() select_ { ctx = {} } end)
      failshere("bad argument #2 to 'sleep' (context expected, got number)", function() lp.sleep(1, 5) end)
      failshere("bad argument #1 to 'sleep' (number of seconds expected, got string)", function() lp.sleep("x", ctx) end)
      failshere("bad argument #1 to 'sleep' (number of seconds expected, got no value)", function() lp.sleep(nil, ctx) end)
      lives(ctx)
      cancel()
    end))
  end)

  describe("many contexts " .. kind, function()
    it("in a chain of thousands end with the first one", body(function()
      local n = kind == "shared" and 5000 or 100000
      local root, cancel = withcancel(bg)
      local ctx, some = root, {}
      for i = 1, n do
        ctx = i % 3 == 0 and context.withvalue(ctx, i, i) or (context.withcancel(ctx))
        if i % 1000 == 0 then
          some[#some + 1] = ctx
        end
      end
      assert.equal(3, ctx:value(3))
      assert.is_nil(ctx:value "none")
      known(ctx) -- with all of these values
      cancel "why"
      soon(function() return ctx:err() end)
      ended(ctx, CANCELED, "why")
      for _, c in ipairs(some) do
        ended(c, CANCELED, "why")
      end
    end))

    it("side by side end with their parent", body(function()
      local n, left = kind == "shared" and 5000 or 100000, 0
      local root, cancel = withcancel(bg)
      local kids = {}
      for i = 1, n do
        kids[i] = context.withcancel(root)
      end
      cancel()
      soon(function() return kids[n]:err() end)
      for i = 1, n do
        left = left + (kids[i]:err() and 0 or 1)
      end
      assert.equal(0, left)
    end))

    it("that are canceled leave no memory, and no goroutine", body(function()
      local root, cancelroot = withcancel(bg)
      local n = kind == "shared" and 10000 or 100000
      local goroutines
      local function turn()
        for i = 1, n do
          local ctx, cancel = context.withcancel(root)
          if kind == "shared" and i % 10 == 0 then
            helper.share(ctx)
          end
          local timed, cancel2 = context.withtimeout(ctx, FAR)
          if i % 2 == 0 then
            timed:done()
            cancel2()
          end
          cancel()
          if i % 64 == 0 then
            gosched()
          end
        end
        settle()
        helper.collect()
        return collectgarbage "count"
      end
      local before = turn()
      goroutines = lp.numgoroutine()
      local grown = turn() - before
      assert.is_true(grown < 1500, grown)
      assert.is_true(eventually(function() return lp.numgoroutine() <= goroutines end))
      cancelroot()
    end))

    it("that are forgotten leave no memory once their deadlines have passed", body(function()
      local root, cancelroot = withcancel(bg)
      local n = kind == "shared" and 10000 or 100000
      local goroutines = lp.numgoroutine()
      local function turn()
        for i = 1, n do
          local ctx = context.withtimeout(root, 0.0005)
          if i % 2 == 0 then
            context.withtimeout(ctx, 0.0001)
          end
        end
        lp.sleep(0.002)
        for _ = 1, n do -- their turn comes when others are made
          local _, cancel = context.withcancel(root)
          cancel()
        end
        settle()
        helper.collect()
        return collectgarbage "count"
      end
      local before = turn()
      local grown = turn() - before
      assert.is_true(grown < 1500, grown)
      assert.is_true(eventually(function() return lp.numgoroutine() <= goroutines end))
      cancelroot()
    end))

    it("nobody knows any more are collected, with what they were made of", body(function()
      local weak = setmetatable({}, { __mode = "k" })
      for _ = 1, 100 do
        local root = context.withcancel(bg)
        local kid = context.withvalue(context.withtimeout(root, FAR), "k", {})
        weak[root], weak[kid] = true, true
        if kind == "shared" then
          helper.share(context.withcancel(bg))
        end
      end
      assert.is_true(eventually(function()
        helper.collect()
        return next(weak) == nil
      end))
    end))
  end)
end

describe("a shared context's children", function()
  it("need a goroutine on their P while there are any, and then no more", run(function()
    local n = lp.numgoroutine()
    local root, cancel = context.withcancel(bg)
    helper.share(root)
    local kids = {}
    for i = 1, 10 do
      kids[i] = { context.withcancel(root) }
    end
    assert.is_true(eventually(function() return lp.numgoroutine() == n + 1 end))
    for i = 1, 10 do
      kids[i][2]()
    end
    assert.is_true(eventually(function() return lp.numgoroutine() == n end))
    context.withcancel(root)
    context.withtimeout(root, 0.002) -- and nor if they are forgotten
    cancel()
    assert.is_true(eventually(function() return lp.numgoroutine() == n end))
    root = helper.share((context.withcancel(bg)))
    context.withtimeout(root, 0.002)
    context.withtimeout(root, 0.004)
    assert.is_true(eventually(function() return lp.numgoroutine() == n end))
  end))

  it("that are there when it comes to be known end with it", run(function()
    local root, cancel = context.withcancel(bg)
    local kid = context.withvalue(context.withcancel(root), "k", 1)
    local grandkid = context.withtimeout(kid, FAR)
    helper.share(root)
    lives(grandkid)
    cancel "why"
    ended(kid, CANCELED, "why") -- here at once
    ended(grandkid, CANCELED, "why")
  end))
end)

describe("afterfunc of a context with a deadline", function()
  it("is no deadlock for who waits for it, and keeps the program until then", function()
    local out, err, status = helper.script [[
      local context, c = luapark.context, chan()
      local ctx = context.withtimeout(context.background(), 0.01)
      context.afterfunc(ctx, function() c:send "called" end)
      print((c:recv()))
      context.afterfunc(context.withtimeout(context.background(), 0.01), function() print "called again" end)
      context.afterfunc(context.withcancel(context.background()), function() print "never" end)
    ]]
    assert.same({ "called\ncalled again\n", "", 0 }, { out, err, status })
  end)

  it("and of one without is a deadlock, if nobody can end it", function()
    local out, err, status = helper.script [[
      local context, c = luapark.context, chan()
      context.afterfunc(context.withcancel(context.background()), function() c:send(1) end)
      c:recv()
    ]]
    assert.equal("", out)
    assert.matches("^fatal error: all goroutines are asleep %- deadlock!", err)
    assert.equal(2, status)
  end)
end)

describe("what cannot go to another P with a context", function()
  it("is named in the error, at the caller's line, and the context is as it was", run(function()
    local bad = newproxy()
    local cases = {
      { "cannot send a context's value.k: a userdata", context.withvalue(bg, "k", bad) },
      { "cannot send a context's value.k.x[1]: a userdata", context.withvalue(bg, "k", { x = { bad } }) },
      { "cannot send a context's value[a key]: a userdata", context.withvalue(bg, bad, 1) },
      { "cannot send a context's value.k: a userdata", context.withvalue(context.withvalue(bg, "k", bad), "other", 1) },
      { "cannot send a context's value.k: a coroutine",
        context.withcancel(context.withvalue(bg, "k", coroutine.create(print))) },
      { "cannot send a context's cause: a userdata", (context.withtimeout(bg, FAR, bad)) },
    }
    local canceled, cancel = context.withcancel(bg)
    cancel(bad)
    cases[#cases + 1] = { "cannot send a context's cause: a userdata", canceled }
    local far = helper.share(chan(1))
    for _, case in ipairs(cases) do
      failshere(case[1], function() far:send(case[2]) end)
      failshere(case[1], function() far:trysend { case[2] } end)
      failshere(case[1], function() select_ { { far, send = case[2] } } end)
      failshere(case[1], function() lp.spawn(print, case[2]) end)
      failshere(case[1], function() lp.spawn(print, { { case[2] } }) end)
      local near = chan(1)
      near:send(case[2]) -- on this P nothing needs to be copied
      assert.equal(case[2], (near:recv()))
    end
    assert.equal(bad, cases[1][2]:value "k")
    assert.equal(bad, canceled:cause())
    assert.equal(0, far:len())
  end))

  it("hidden by another value does not matter", run(function()
    local ctx = context.withvalue(context.withvalue(bg, "k", newproxy()), "k", 1)
    helper.share(ctx)
    assert.equal(1, ctx:value "k")
  end))

  it("as a cause goes as its text, and ends the whole tree", run(function()
    for _, bad in ipairs { newproxy(), setmetatable({}, { __tostring = function() return "words" end }),
      setmetatable({}, { __tostring = function() error "none" end }),
      setmetatable({}, { __tostring = function() return {} end }) } do
      local root, cancel = context.withcancel(bg)
      local kids = {}
      for i = 1, 5 do
        kids[i] = context.withcancel(root)
        if i % 2 == 0 then
          helper.share(kids[i])
        end
      end
      cancel(bad)
      assert.equal(bad, root:cause())
      for i = 1, 5 do
        assert.equal(CANCELED, kids[i]:err())
        local cause = kids[i]:cause()
        assert.is_true(i % 2 == 1 and rawequal(cause, bad) or i % 2 == 0 and type(cause) == "string")
      end
    end
  end))
end)

describe("contexts on several Ps", function()
  local HEAD = [[
    local context = lp.context
    local bg = context.background()
  ]]
  local function ps(want, text)
    prints(want, text, HEAD)
  end

  it("are the same there", function()
    ps([[
nil nil true v table nil
context canceled because
true true
again: true context canceled because
]], [[
      local out, back = chan(), chan()
      local ctx, cancel = context.withtimeout(context.withvalue(context.withvalue(bg, "k", "v"), 5, { 1 }), 3600)
      local sent, hidden = ctx:deadline(), context.withvalue(ctx, "k", nil)
      elsewhere(function(c)
        out:send(table.concat({ tostring(c:err()), tostring(c:cause()), tostring(c:deadline() == sent), c:value "k",
          type(c:value(5)), tostring(hidden:value "k") }, " "))
        c:done():recv()
        out:send(c:err() .. " " .. c:cause())
        local c2 = back:recv()
        out:send(tostring(rawequal(c, c2)) .. " " .. tostring(c:done() == c2:done()))
        out:send(c2)
      end, ctx)
      print((out:recv()))
      cancel "because"
      print((out:recv()))
      back:send(ctx)
      print((out:recv()))
      local same = out:recv()
      print("again: " .. tostring(rawequal(same, ctx)) .. " " .. same:err() .. " " .. same:cause())
    ]])
  end)

  it("end from anywhere: a cancel function that was sent, or captured", function()
    ps("3 woken by there\n3 woken by here\nits children too\n", [[
      local out = chan()
      local ctx, cancel = context.withcancel(bg)
      local woken = lp.waitgroup()
      woken:add(3)
      go(function() ctx:done():recv() woken:done() end)
      go(function() lp.sleep(3600, ctx) woken:done() end)
      go(function() lp.select { chan(), ctx = context.withcancel(ctx) } woken:done() end)
      gosched()
      elsewhere(function(f) lp.sleep(0.005) f "there" end, cancel)
      woken:wait()
      print("3 woken by " .. ctx:cause())
      local ctx2, cancel2 = context.withcancel(bg)
      local begun = lp.waitgroup()
      begun:add(3)
      woken:add(3)
      elsewhere(function()
        go(function() begun:done() ctx2:done():recv() woken:done() end)
        go(function() begun:done() lp.sleep(3600, ctx2) woken:done() end)
        local kid = context.withcancel(ctx2)
        local grandkid = context.withtimeout(kid, 3600)
        go(function() begun:done() lp.select { chan(), ctx = grandkid } woken:done() end)
        grandkid:done():recv()
        out:send(grandkid:cause() == "here" and kid:cause() == "here" and "its children too")
      end)
      begun:wait()
      lp.sleep(0.005)
      cancel2 "here"
      woken:wait()
      print("3 woken by " .. ctx2:cause())
      print((out:recv()))
    ]])
  end)

  it("pass their deadlines, and their causes, on to children there", function()
    ps("too slow too slow true\ntoo slow\ncontext deadline exceeded its own\n", [[
      local out = chan()
      local ctx = context.withtimeout(bg, 0.3, "too slow") -- a P may have to be started first
      elsewhere(function()
        local kid, own = context.withtimeout(ctx, 3600, "not this"), context.withtimeout(ctx, 0.001, "its own")
        own:done():recv()
        local mine = own:err() .. " " .. own:cause()
        while kid:err() == nil do end -- nobody else runs here
        out:send(kid:cause() .. " " .. ctx:cause() .. " " .. tostring(kid:deadline() == ctx:deadline()))
        out:send(mine)
      end)
      local first, second = out:recv(), nil
      second = out:recv()
      print(first)
      print(ctx:cause())
      print(second)
    ]])
  end)

  it("end in a chain that goes over all of them", function()
    ps("4 deep: why why why why\nnot upwards: nil\n1 goroutine\n", [[
      local out, ready, leave = chan(), chan(), chan()
      local function level(n, parent)
        local ctx = context.withcancel(parent)
        if n > 1 then
          local f = level
          lp.spawn(f, n - 1, ctx)
        else
          ready:send()
        end
        ctx:done():recv()
        out:send(ctx:cause())
      end
      local root, cancel = context.withcancel(bg)
      elsewhere(level, 4, root)
      ready:recv()
      cancel "why"
      local causes = {}
      for i = 1, 4 do causes[i] = out:recv() end
      print("4 deep: " .. table.concat(causes, " "))
      local top, canceltop = context.withcancel(bg)
      elsewhere(function() local _, c = context.withcancel(top) c() out:send() leave:recv() end)
      out:recv()
      io.write("not upwards: ", tostring(top:err()), "\n")
      leave:send()
      canceltop()
      eventually(function() return lp.numgoroutine() == 1 end)
      print(lp.numgoroutine() .. " goroutine")
    ]])
  end)

  it("canceled there leave nothing in their parents here", function()
    ps("nothing\n", [[
      local root = context.withcancel(bg)
      local todo, done = chan(), chan()
      elsewhere(function() for f in todo do f() done:send() end end)
      local function turn()
        for _ = 1, 1500 do
          local _, cancel = context.withcancel(root)
          todo:send(cancel)
          done:recv()
        end
        collectgarbage()
        collectgarbage()
        return collectgarbage "count"
      end
      turn()
      local before = turn()
      local grown = turn() - before
      todo:close()
      print(grown < 300 and "nothing" or grown)
    ]])
  end)

  it("canceled by four at once have one cause, which all see", function()
    ps("one\n", [[
      local good = 0
      for round = 1, 100 do
        local ctx, cancel = context.withcancel(bg)
        local here, out = lp.atomic(), chan(4)
        for i = 1, 3 do
          spawn(function()
            here:add(1)
            while here:load() < 4 and round % 10 == 0 do end
            cancel(i)
            out:send { i, ctx:cause(), ctx:err(), (ctx:done():recv()) }
          end)
        end
        here:add(1)
        if round % 10 == 0 then while here:load() < 4 do gosched() end end
        cancel(0)
        local cause = ctx:cause()
        local same = true
        for _ = 1, 3 do
          local t = out:recv()
          same = same and t[2] == cause and t[3] == "context canceled"
        end
        good = good + (same and 1 or 0)
      end
      print(good == 100 and "one" or good)
    ]])
  end)

  it("canceled just when their deadline passes end one way, which all see and which stays", function()
    ps("one way\n", [[
      local bad, ways = 0, {}
      local todo, out = chan(), chan()
      elsewhere(function()
        for ctx in todo do
          ctx:done():recv()
          local err, cause = ctx:err(), ctx:cause()
          out:send { err, cause, ctx:err() }
        end
        out:close()
      end)
      for i = 1, 3000 do
        local s = i % 50 * 2e-6
        local ctx, cancel = context.withtimeout(bg, s, "late")
        local kid = context.withcancel(ctx)
        todo:send(ctx)
        local stop = lp.now() + i % 37 * 3e-6
        while lp.now() < stop do end
        cancel "why"
        local err, cause = ctx:err(), ctx:cause()
        local t = out:recv()
        if not (t[1] == err and t[2] == cause and t[3] == err and ctx:err() == err) or
          not (err == "context canceled" and cause == "why" or err == "context deadline exceeded" and cause == "late") or
          kid:err() == nil then
          bad = bad + 1
        end
        ways[err] = true
      end
      todo:close()
      print(bad == 0 and "one way" or bad)
    ]])
  end)

  it("go along with goroutines that are moved, children or not", function()
    ps("64 of 64\n1 goroutine\n", [[
      local ctx, cancel = context.withcancel(context.withvalue(bg, "k", 7))
      local kid, grandkid = context.withcancel(ctx), nil
      grandkid = context.withtimeout(kid, 3600)
      local out = chan(64)
      for _ = 1, 64 do
        go(function()
          local x = 0
          for i = 1, 100000 do x = x + i % 3 end
          local mine = context.withcancel(kid)
          mine:done():recv()
          grandkid:done():recv()
          out:send(mine:value "k" + (kid:cause() == "why" and mine:cause() == "why" and 1 or 0))
        end)
      end
      lp.sleep(0.05)
      cancel "why"
      local n = 0
      for _ = 1, 64 do n = n + (out:recv() == 8 and 1 or 0) end
      print(n .. " of 64")
      eventually(function() return lp.numgoroutine() == 1 end)
      print(lp.numgoroutine() .. " goroutine")
    ]])
  end)

  it("send a cause that cannot go there as its text", function()
    ps("userdata: true\n", [[
      local out = chan()
      local ctx, cancel = context.withcancel(bg)
      elsewhere(function() local kid = context.withcancel(ctx) kid:done():recv() out:send((kid:cause())) end)
      cancel(newproxy())
      local text = out:recv()
      print(text:match "^userdata: " .. tostring(ctx:err() == "context canceled"))
    ]])
  end)
end)
