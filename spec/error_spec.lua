-- SPDX-License-Identifier: MIT

-- error: the report of an error that no goroutine caught, and tracebacks altogether: whose frames they show, and how much.

local helper = require "spec.helper"
local lp = helper.lp
local program, run = helper.program, helper.run

local sanitized = (os.getenv "LUAPARK_BUILD" or "build") ~= "build"

-- The program fails: its report.
local function report(text, environment)
  local _, err, status = program(text, environment)
  assert.equal(2, status, err)
  return err
end

local function says(want, text, environment)
  local err = report(text, environment)
  assert.equal(want, err)
end

describe("the report of an uncaught error", function()
  it("has goroutine, error, traceback and creator", function()
    says([[
goroutine 2 [running]:
SCRIPT:2: boom
stack traceback:
	[C]: in function 'error'
	SCRIPT:2: in function 'inner'
	SCRIPT:6: in function 'middle'
	SCRIPT:10: in function <SCRIPT:9>
created by main chunk at SCRIPT:9 in goroutine 1
]], [[
local function inner()
  error "boom"
end

local function middle()
  inner()
end

go(function()
  middle()
end)
chan():recv()
]])
  end)

  it("names the creator: a function, the main chunk, by way of C functions and of ours", function()
    for text, creator in pairs {
      ["local function serve() go(error, 'x') end serve()"] = "function 'serve' at SCRIPT:1",
      ["local t = {} function t:serve() go(error, 'x') end t:serve()"] = "function 'serve' at SCRIPT:1",
      ["string.gsub('x', 'x', function() go(error, 'x') end)"] = "function <SCRIPT:1> at SCRIPT:1",
      ["go(error, 'x')"] = "main chunk at SCRIPT:1",
      ["luapark.spawn(error, 'x')"] = "main chunk at SCRIPT:1",
      ["luapark.waitgroup():go(error, 'x')"] = "main chunk at SCRIPT:1",
      ["pcall(go, error, 'x')"] = "main chunk at SCRIPT:1",
      ["coroutine.wrap(go)(error, 'x')"] = "main chunk at SCRIPT:1",
      ["coroutine.wrap(function() go(error, 'x') end)()"] = "function <SCRIPT:1> at SCRIPT:1",
      ["load('go(error, 1)', '=chunk')()"] = "main chunk at chunk:1",
    } do
      local err = report(text .. " chan():recv()")
      assert.equal(creator, err:match "\ncreated by ([^\n]*) in goroutine 1\n$", text .. "\n" .. err)
    end
  end)

  it("names the goroutine that has created it", function()
    local err = report [[
      go(function()
        go(function() error("third", 0) end)
      end)
      chan():recv()
    ]]
    assert.matches("^goroutine 3 %[running%]:\nthird\n", err)
    assert.matches("\ncreated by function <SCRIPT:1> at SCRIPT:2 in goroutine 2\n$", err)
  end)

  it("shows error objects as Lua does", function()
    for object, words in pairs {
      ["{}"] = "(error object is a table value)",
      ["nil"] = "(error object is a nil value)",
      [""] = "(error object is a nil value)",
      ["true"] = "(error object is a boolean value)",
      ["print"] = "(error object is a function value)",
      ["coroutine.create(print)"] = "(error object is a thread value)",
      ["newproxy()"] = "(error object is a userdata value)",
      ["42"] = "SCRIPT:1: 42",
      ["1LL"] = "1LL",
      ["getg()"] = "goroutine 2 [running]",
      ["setmetatable({}, { __tostring = function() return 'in words' end })"] = "in words",
      ["setmetatable({}, { __tostring = function() return 42 end })"] = "42",
      ["setmetatable({}, { __tostring = function() luapark.sleep(0) return 'waits' end })"] = "waits",
      ["setmetatable({}, { __tostring = function() end })"] = "(error object is a table value)",
      ["setmetatable({}, { __tostring = 42 })"] = "(error object is a table value, and its __tostring failed: "
        .. "attempt to call a number value)",
      ["setmetatable({}, { __tostring = function() error('worse', 0) end })"] =
        "(error object is a table value, and its __tostring failed: worse)",
      ["setmetatable({}, { __tostring = function() error {} end })"] = "(error object is a table value)",
      ["setmetatable({}, { __tostring = function() luapark.goexit() end })"] = "(error object is a table value)",
      ["setmetatable({}, { __tostring = function() chan():recv() end })"] = "(error object is a table value)",
    } do
      says(("goroutine 2 [running]:\n%s\nstack traceback:\n\t[C]: in function 'error'\n\tSCRIPT:1: in function <SCRIPT:1>\n"
        .. "created by main chunk at SCRIPT:1 in goroutine 1\n"):format(words),
        ("go(function() error(%s) end)"):format(object))
    end
  end)

  it("is whole where the error has zeros in it, or is long", function()
    local err = report "go(error, ('a\\0b'):rep(3), 0)"
    assert.matches("^goroutine 2 %[running%]:\na%zba%zba%zb\nstack traceback:\n.*\ncreated by ", err)
    err = report "go(error, ('x'):rep(1e6), 0)"
    assert.matches("^goroutine 2 %[running%]:\nx+\nstack traceback:\n.*\ncreated by ", err)
    assert.is_true(#err > 1e6)
  end)

  it("of a goroutine that another P runs has the user's file and lines", function()
    local err = report([[
local begun = luapark.atomic()
local function deep(n)
  if n == 0 then
    begun:add(1)
    error "there"
  end
  deep(n - 1)
  return n
end
luapark.spawn(function()
  deep(2)
end)
while begun:load() == 0 do end -- so it is another P that runs it
chan():recv()
]], "LUAPARK_MAXPROCS=4 LUAPARK_PREEMPT=0")
    assert.equal([[
goroutine 2 [running]:
SCRIPT:5: there
stack traceback:
	[C]: in function 'error'
	SCRIPT:5: in function 'deep'
	SCRIPT:7: in function 'deep'
	SCRIPT:7: in function 'deep'
	SCRIPT:11: in function <SCRIPT:10>
created by main chunk at SCRIPT:10 in goroutine 1
]], err)
  end)

  it("counts what it leaves out in the middle", function()
    local text = [[
      local function down(n)
        if n == 0 then error("bottom", 0) end
        local x = down(n - 1)
        return x
      end
      go(function() down(%d) end)
    ]]
    -- As in luajit, 12 levels and 10. The first makes the traceback, the last is our xpcall: both are not shown.
    local err = report(text:format(18))
    assert.is_nil(err:find("elided", 1, true))
    assert.equal(19, select(2, err:gsub("in function 'down'", "")))
    for _, n in ipairs { 19, 20, 100, 5000 } do
      err = report(text:format(n))
      assert.matches("\n\t%.%.%." .. n + 5 - 22 .. " frames elided%.%.%.\n", err)
      assert.equal(11 + 9, select(2, err:gsub("\n\t[^\n]-: in function ", "")))
      assert.matches("\n\tSCRIPT:6: in function <SCRIPT:6>\ncreated by ", err)
    end
  end)

  it("of a stack overflow has both ends of the stack", function()
    local err = report [[
      local function down() local x = down() return x end
      go(function() down() end)
    ]]
    assert.matches("^goroutine 2 %[running%]:\n[^\n]*stack overflow\n", err)
    assert.matches("\n\t%.%.%.%d+ frames elided%.%.%.\n", err)
    assert.matches("\n\tSCRIPT:2: in function <SCRIPT:2>\ncreated by main chunk at SCRIPT:2 in goroutine 1\n$", err)
    err = report [[
      go(function()
        local function down(s) return (s:gsub(".", down)) end
        down "x"
      end)
    ]]
    assert.matches("^goroutine 2 %[running%]:\n[^\n]*stack overflow\nstack traceback:\n\t%[C%]: in function 'gsub'\n", err)
    assert.matches("\n\tSCRIPT:3: in function <SCRIPT:1>\ncreated by main chunk", err)
  end)

  if not sanitized then -- these take more addresses than that themselves
    it("of an error for lack of memory has what can be had", function()
      says("goroutine 2 [running]:\nnot enough memory\ncreated by main chunk at SCRIPT:1 in goroutine 1\n", [[
        go(function()
          local t = {}
          for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end
        end)
        chan():recv()
      ]], "prlimit --as=4000000000")
    end)
  end
end)

describe("a traceback", function()
  it("goes through the user's coroutines, to where the error was raised", function()
    says([[
goroutine 2 [running]:
SCRIPT:10: SCRIPT:4: SCRIPT:1: boom
stack traceback:
	[C]: in function 'error'
	SCRIPT:1: in function <SCRIPT:1>
	[C]: in function 'inner'
	SCRIPT:4: in function <SCRIPT:2>
	[C]: in function 'outer'
	SCRIPT:10: in function <SCRIPT:7>
created by main chunk at SCRIPT:7 in goroutine 1
]], [[
local inner = coroutine.wrap(function() gosched() error "boom" end)
local outer = coroutine.wrap(function()
  coroutine.yield()
  inner()
end)

go(function()
  outer()
  gosched()
  outer()
end)
chan():recv()
]])
  end)

  it("of a coroutine that cannot be resumed ends", function()
    local err = report [[
      go(function()
        local a, b
        a = coroutine.wrap(function() b() end)
        b = coroutine.wrap(function() a() end)
        a()
      end)
    ]]
    assert.matches("cannot resume running coroutine\nstack traceback:\n\t%[C%]: in function 'a'\n\t[^\n]-:4: in function "
      .. "<[^\n]-:4>\n\t%[C%]: in function 'b'\n\t[^\n]-:3: in function <[^\n]-:3>\n\t%[C%]: in function 'a'\n\t"
      .. "[^\n]-:5: in function <[^\n]-:1>\ncreated by ", err)
  end)

  it("of many coroutines leaves some out in the middle", function()
    local text = [[
      local function nest(n)
        return coroutine.wrap(function()
          if n == 0 then error("bottom", 0) end
          nest(n - 1)()
        end)
      end
      go(function() nest(%d)() end)
    ]]
    local err = report(text:format(15))
    assert.is_nil(err:find("elided", 1, true))
    for _, n in ipairs { 17, 100 } do
      err = report(text:format(n))
      assert.matches("\nstack traceback:\n\t%[C%]: in function 'error'\n\t[^\n]-:3: ", err)
      assert.matches("\n\t%.%.%." .. n + 2 - 16 .. " coroutines elided%.%.%.\n", err)
      assert.matches("\n\t[^\n]-:7: in function <[^\n]-:7>\ncreated by ", err)
    end
  end)

  it("shows Luapark's functions by their names, and nothing of what is behind them", function()
    local text = [[
      local c = chan()
      c:close()
      luapark.waitgroup():go(function()
        c:send(1)
      end)
      chan():recv()
    ]]
    says([[
goroutine 2 [running]:
SCRIPT:4: send on closed channel
stack traceback:
	[luapark]: in function 'send'
	SCRIPT:4: in function <SCRIPT:3>
created by main chunk at SCRIPT:3 in goroutine 1
]], (text:gsub("luapark.waitgroup%(%):go", "go")))
    says([[
goroutine 2 [running]:
SCRIPT:4: send on closed channel
stack traceback:
	[luapark]: in function 'send'
	SCRIPT:4: in function 'fn'
created by main chunk at SCRIPT:3 in goroutine 1
]], text)
    local err = report(text, "LUAPARK_DEBUG=frames")
    assert.matches("\n\t%[C%]: in function 'error'\n\t[^\n]-/luapark/chan.lua:%d+: in function 'send'\n", err)
    assert.matches("\n\t[^\n]-/luapark/sync.lua:%d+: in function <[^\n]*>\ncreated by", err)
  end)

  it("shows one of them where nothing is the user's", function()
    local err = report "local c = chan() c:close() go(c.send, c, 1)"
    assert.matches("\nstack traceback:\n\t%[luapark%]: in function <chan.lua:%d+>\ncreated by main chunk", err)
  end)

  it("shows the functions of the user's that ours call", function()
    local out, err = program [[
local ln = require "luapark.net".listen("tcp", "127.0.0.1:0")
go(function() ln:accept():close() end)
require "luapark.http".post("http://" .. ln:addr(), function()
  io.write(luapark.stack())
end)
]]
    assert.equal("", err)
    assert.matches("^goroutine 1 %[running%]:\n\tSCRIPT:4: in function <SCRIPT:3>\n\t%[luapark%]: in function 'post'\n"
      .. "\tSCRIPT:3: in main chunk\n", out)
  end)

  it("of who waits has the user's lines, and the name of what it waits in", run(function()
    local c, m = lp.chan(), lp.mutex()
    m:lock()
    lp.go(function() c:recv() end)
    lp.go(function() for _ in c do end end)
    lp.go(function() lp.select { c } end)
    lp.go(function()
      m:lock()
      m:unlock()
    end)
    lp.go(function() lp.sleep(0.001) end)
    helper.settle()
    local text = lp.stack(true)
    for _, name in ipairs { "%[luapark%]: in function 'recv'", "%[luapark%]: in function 'select'",
      "%[luapark%]: in function 'lock'", "%[C%]: in function 'sleep'" } do
      assert.matches("\n\t" .. name .. "\n\t[^\n]-error_spec.lua:%d+: in function <[^\n]->\ncreated by ", text)
    end
    assert.is_nil(text:find("chan.lua", 1, true), text)
    c:close()
    m:unlock()
  end))

  it("asked for in a user's coroutine has that, and what is around it", run(function()
    local text
    local inner = coroutine.create(function() text = lp.stack() end)
    local outer = coroutine.wrap(function()
      coroutine.resume(inner)
      return 1
    end)
    outer()
    local lines = {}
    for line in text:gmatch "\n\t[^\n]-:(%d+: in function [^\n]*)" do
      lines[#lines + 1] = tonumber(line:match "^%d+")
    end
    local here = debug.getinfo(1, "l").currentline
    assert.same({ here - 10, here - 8, here - 5 }, { lines[1], lines[2], lines[3] }, text)
    assert.matches("\n\t%[C%]: in function 'outer'\n", text)
  end))
end)
