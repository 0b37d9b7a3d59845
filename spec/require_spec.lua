-- SPDX-License-Identifier: MIT

-- require, for more than one goroutine.

local helper = require "spec.helper"
local lp = helper.lp
local run = helper.run
local go, gosched, chan = lp.go, lp.gosched, lp.chan

local count = 0

-- Calls fn(name) with the name of a module whose chunk is `text`, found along package.path.
local function withmodule(text, fn)
  count = count + 1
  local name = "lpspec_require_" .. count
  local dir = os.tmpname()
  os.remove(dir)
  os.execute("mkdir " .. dir)
  local f = assert(io.open(dir .. "/" .. name .. ".lua", "w"))
  f:write(text)
  f:close()
  local path = package.path
  package.path = dir .. "/?.lua;" .. path
  local function done(ok, ...)
    package.path = path
    package.loaded[name], package.preload[name] = nil, nil
    os.execute("rm -rf " .. dir)
    if not ok then
      error((...), 0)
    end
    return ...
  end
  return done(pcall(fn, name, dir .. "/" .. name .. ".lua"))
end

local function pack(...) return { n = select("#", ...), ... } end

describe("require", function()
  it("is as ever where one goroutine asks", run(function()
    withmodule("local name, more = ... return { name = name, more = more }", function(name)
      local m = require(name)
      assert.equal(name, m.name)
      assert.is_nil(m.more)
      assert.equal(m, require(name))
      assert.equal(m, package.loaded[name])
    end)
    withmodule("return nil", function(name)
      assert.is_true(require(name))
      assert.is_true(package.loaded[name])
    end)
    withmodule("return false", function(name)
      assert.same({ n = 1, false }, pack(require(name)))
      assert.same({ n = 1, false }, pack(require(name))) -- loaded anew, as LuaJIT does
    end)
    withmodule("package.loaded[...] = 'set by itself'", function(name)
      assert.equal("set by itself", require(name))
    end)
    withmodule("module(..., package.seeall) x = 5", function(name)
      assert.equal(5, require(name).x)
      _G[name] = nil
    end)
    assert.equal(string, require "string")
    assert.equal(lp, require "luapark")
  end))

  it("lets the module's chunk wait", run(function()
    withmodule([[
      local lp = require "luapark"
      lp.sleep(0.001)
      lp.gosched()
      local c = lp.chan()
      lp.go(function() c:send("sent") end)
      return { got = c:recv() }
    ]], function(name)
      assert.equal("sent", require(name).got)
    end)
  end))

  it("loads once what two goroutines ask for, and gives it to both", run(function()
    _G.lpspec_loads = 0
    withmodule([[
      lpspec_loads = lpspec_loads + 1
      require "luapark".sleep(0.002)
      return { n = lpspec_loads }
    ]], function(name)
      local got, wg = {}, lp.waitgroup()
      for i = 1, 20 do
        wg:go(function()
          if i % 2 == 0 then
            gosched()
          end
          got[i] = require(name)
        end)
      end
      gosched()
      local waiting = 0
      for _ in lp.stack(true):gmatch "%[require%]" do
        waiting = waiting + 1
      end
      assert.is_true(waiting > 0)
      wg:wait()
      assert.equal(1, _G.lpspec_loads)
      for i = 1, 20 do
        assert.is_table(got[i])
        assert.equal(got[1], got[i])
      end
    end)
    _G.lpspec_loads = nil
  end))

  it("waits under C functions and in coroutines too", run(function()
    withmodule("require 'luapark'.sleep(0.001) return 'm'", function(name)
      local got, wg = {}, lp.waitgroup()
      wg:go(function() got[1] = require(name) end)
      wg:go(function() string.gsub("x", "x", function() got[2] = require(name) end) end)
      wg:go(function() got[3] = coroutine.wrap(function() return require(name) end)() end)
      wg:go(function() got[4] = select(2, pcall(require, name)) end)
      wg:wait()
      assert.same({ "m", "m", "m", "m" }, got)
    end)
  end))

  it("fails in LuaJIT's words when the chunk fails, for those who waited as well", run(function()
    withmodule("require 'luapark'.sleep(0.001) error 'broken'", function(name, file)
      local errs, wg = {}, lp.waitgroup()
      for i = 1, 5 do
        wg:go(function() errs[i] = pack(pcall(require, name)) end)
      end
      wg:wait()
      local broken, loop = 0, 0
      for i = 1, 5 do
        assert.is_false(errs[i][1])
        if errs[i][2] == file .. ":1: broken" then
          broken = broken + 1
        elseif errs[i][2]:find("loop or previous error loading module '" .. name .. "'", 1, true) then
          loop = loop + 1
        else
          error(errs[i][2])
        end
      end
      assert.is_true(broken >= 1)
      assert.equal(5, broken + loop)
      -- afterwards too
      local err = helper.fails(require, name)
      assert.truthy(err:find("loop or previous error loading module '" .. name .. "'", 1, true), err)
    end)
  end))

  it("fails in LuaJIT's words when the chunk does not compile", run(function()
    withmodule("return return", function(name, file)
      local err = helper.fails(require, name)
      assert.equal(("error loading module '%s' from file '%s':\n\t%s:1: unexpected symbol near 'return'"):format(
        name, file, file), err)
    end)
  end))

  it("names a loop within one goroutine as LuaJIT does", run(function()
    withmodule("local name = ... require 'luapark'.gosched() return require(name)", function(name)
      local err = helper.fails(require, name)
      assert.truthy(err:find("loop or previous error loading module '" .. name .. "'", 1, true), err)
    end)
  end))

  it("names a loop within one goroutine over two modules", run(function()
    withmodule("return require(lpspec_b)", function(a)
      withmodule("return require(lpspec_a)", function(b)
        _G.lpspec_a, _G.lpspec_b = a, b
        local err = helper.fails(require, a)
        assert.truthy(err:find("loop or previous error loading module '" .. a .. "'", 1, true), err)
        _G.lpspec_a, _G.lpspec_b = nil, nil
      end)
    end)
  end))

  it("makes a loop over two goroutines an error and no deadlock", run(function()
    withmodule("require 'luapark'.sleep(0.001) return require(lpspec_b)", function(a)
      withmodule("require 'luapark'.sleep(0.001) return require(lpspec_a)", function(b)
        _G.lpspec_a, _G.lpspec_b = a, b
        local r, wg = {}, lp.waitgroup()
        wg:go(function() r[1] = pack(pcall(require, a)) end)
        wg:go(function() r[2] = pack(pcall(require, b)) end)
        wg:wait()
        local failed = 0
        for i = 1, 2 do
          if not r[i][1] then
            failed = failed + 1
            assert.matches("loop or previous error loading module", r[i][2])
          end
        end
        assert.is_true(failed >= 1)
        _G.lpspec_a, _G.lpspec_b = nil, nil
      end)
    end)
  end))

  it("makes a loop over three goroutines an error and no deadlock", run(function()
    local names = {}
    _G.lpspec_names = names
    local text = "local lp = require 'luapark' lp.sleep(0.001) return require(lpspec_names[%d])"
    withmodule(text:format(2), function(a)
      withmodule(text:format(3), function(b)
        withmodule(text:format(1), function(c)
          names[1], names[2], names[3] = a, b, c
          local failed, wg = 0, lp.waitgroup()
          for i = 1, 3 do
            wg:go(function()
              local ok, err = pcall(require, names[i])
              if not ok and err:find("loop or previous error", 1, true) then
                failed = failed + 1
              end
            end)
          end
          wg:wait()
          assert.is_true(failed >= 1)
        end)
      end)
    end)
    _G.lpspec_names = nil
  end))

  it("hands a module on when its loader ends by goexit in the middle", run(function()
    _G.lpspec_loads = 0
    withmodule([[
      local lp = require "luapark"
      lpspec_loads = lpspec_loads + 1
      lp.sleep(0.001)
      if lpspec_loads == 1 then lp.goexit() end
      return "loaded by " .. lpspec_loads
    ]], function(name)
      local r, wg = {}, lp.waitgroup()
      go(function() r[1] = pack(pcall(require, name)) end)
      wg:go(function() gosched(); r[2] = pack(pcall(require, name)) end)
      wg:wait()
      assert.is_nil(r[1])
      -- It must not hang, and must not give what is no module. Loading anew and LuaJIT's error are both right.
      if r[2][1] then
        assert.equal("loaded by 2", r[2][2])
      else
        assert.matches("loop or previous error loading module", r[2][2])
      end
    end)
    _G.lpspec_loads = nil
  end))

  it("of a waiting goroutine's own: kept alive while it loads, wherever the name came from", run(function()
    withmodule("require 'luapark'.sleep(0.002) return (...)", function(name)
      local got, wg = {}, lp.waitgroup()
      wg:go(function() got[1] = require(name:sub(1, 5) .. name:sub(6)) end)
      wg:go(function() collectgarbage(); gosched(); collectgarbage(); got[2] = require(table.concat { name }) end)
      wg:wait()
      assert.same({ name, name }, got)
    end)
  end))

  it("does not find what is not there, in the very words of plain luajit", function()
    local text = [[
      package.path, package.cpath = "./?.lua;/nowhere/?/init.lua", "/nowhere/?.so"
      print(pcall(require, "no.such.module"))
      print(pcall(require, "nosuch"))
      print(pcall(require))
      print(pcall(require, {}))
      package.loaders = nil
      print(pcall(require, "x"))
      package.loaders = { function() return "\n\tone" end, function() end, function() return "\n\ttwo" end }
      print(pcall(require, "x"))
      package.loaders = { function(n) return function(...) return { select("#", ...), ... } end end }
      print(require("y")[1], require("y")[2])
      package.loaders = { 5 }
      print(pcall(require, "z"))
      package.loaders = { function() error("loader") end }
      print(pcall(require, "w"))
    ]]
    local ours, plain = helper.both(text)
    assert.equal(plain.out, ours.out)
    assert.equal("", ours.err)
    local ing = helper.both("local function f() " .. text .. " end if go then go(f) end")
    assert.equal(plain.out, ing.out)
  end)

  it("raises its errors at the caller's line, as plain luajit", function()
    local ours, plain = helper.both [[
package.path, package.cpath = "./?.lua", "/nowhere/?.so"
local function f()
  require "no.such.module"
end
f()
]]
    assert.equal(plain.err, ours.err)
    assert.equal(1, ours.status)
  end)

  it("tells modules that failed from modules that are being loaded, after an error in a script's run", function()
    if helper.inexe then
      return -- several runs in one process are module mode's
    end
    withmodule("require 'luapark'.sleep(0.001) return 'late'", function(name)
      -- a goroutine is in the middle of a load when the run fails
      assert.is_false(pcall(lp.run, function()
        go(require, name)
        gosched()
        error "the run fails"
      end))
      local r
      lp.run(function() r = pack(pcall(require, name)) end)
      if r[1] then
        assert.equal("late", r[2])
      else
        assert.matches("loop or previous error loading module", r[2])
      end
    end)
  end)
end)

describe("C modules", function()
  it("of the distribution load, and are the same for all", run(function()
    local ok, cjson = pcall(require, "cjson")
    if not ok then
      pending "lua-cjson is not installed"
    end
    local got, wg = {}, lp.waitgroup()
    for i = 1, 3 do
      wg:go(function() got[i] = require "cjson" end)
    end
    wg:wait()
    assert.equal(cjson, got[1])
    assert.equal('{"a":[1,2]}', got[3].encode { a = { 1, 2 } })
  end))
end)

describe("waiting for a module", function()
  it("that never comes is a deadlock that shows it", function()
    withmodule("require 'luapark'.chan():recv()", function(name, file)
      local _, err, status = helper.script(([[
        package.path = %q
        local done = chan()
        go(require, %q)
        gosched()
        require %q
      ]]):format(file, name, name))
      assert.matches("all goroutines are asleep", err)
      assert.matches("goroutine 1 %[require%]:", err)
      assert.matches("goroutine 2 %[chan receive%]:", err)
      assert.equal(2, status)
    end)
  end)

  it("lets others run meanwhile", run(function()
    withmodule("require 'luapark'.sleep(0.003) return 1", function(name)
      local n, stop = 0, false
      go(function()
        while not stop do
          n = n + 1
          gosched()
        end
      end)
      go(require, name)
      gosched()
      require(name)
      stop = true
      gosched()
      assert.is_true(n > 1)
    end)
    local c = chan()
    c:close()
  end))
end)
