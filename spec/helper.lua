-- SPDX-License-Identifier: MIT

-- helper: what the specs share.
--
-- The same specs run in two ways (see .busted): in a stock luajit, where goroutines exist only inside luapark.run, and
-- in the executable, where busted itself is the main goroutine. A body wrapped in `run` runs as goroutine in both, and
-- fails if it leaves a goroutine behind.
--
-- Errors in another goroutine than the body's end the whole program, as they must. So specs assert in the body, and
-- other goroutines report by channels or tables; where the end is the matter, the script runs in a process of its own.

local lp = require "luapark"
local ffi = require "ffi"

local helper = { lp = lp }

local build = os.getenv "LUAPARK_BUILD" or "build"
helper.exe = os.getenv "LUAPARK" or build .. "/luapark"
helper.inexe = lp.getg() ~= nil -- busted runs in the executable

-- Goroutines ---------------------------------------------------------------------------------------------------------

-- Lets others run until cond() holds. False if it does not after n turns (10,000 by default): no clock is involved.
function helper.eventually(cond, n)
  for _ = 1, n or 10000 do
    if cond() then
      return true
    end
    lp.gosched()
  end
  return cond()
end

-- o, a handle, as if it had gone to another P and come back.
function helper.shared(o)
  local core = require "luapark.core"
  core.drop(core.pack("share", o))
  return o
end

-- Runs everybody else until they all wait (or have had n turns each).
function helper.settle(n)
  for _ = 1, n or 10 do
    lp.gosched()
  end
end

-- run(fn) -> a function that runs fn as goroutine, for `it`, and checks that as many goroutines live afterwards as
-- before (but for those that an earlier, failed spec left and that ended now): a goroutine left behind is a fault.
function helper.run(fn)
  return function()
    local before = lp.numgoroutine()
    lp.run(fn)
    if helper.inexe then
      local function gone() return lp.numgoroutine() <= before end
      for _ = 1, 200 do -- some may sleep yet
        if helper.eventually(gone, 100) then
          break
        end
        lp.sleep(0.01)
      end
    end
    local after = lp.numgoroutine()
    if after > before then
      error(("%d goroutines lived before, %d live after:\n%s"):format(before, after, lp.stack(true)), 0)
    end
  end
end

-- The same with fn as the first goroutine of a synctest bubble: on a clock of its own, which is exact and costs no time.
function helper.bubble(fn)
  return helper.run(function() require("luapark.synctest").run(fn) end)
end

-- The line of the caller, `offset` lines on, as errors name it.
function helper.here(offset)
  local info = debug.getinfo(2, "Sl")
  return ("%s:%d: "):format(info.short_src, info.currentline + (offset or 0))
end

-- fn() fails: the message.
function helper.fails(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    error("no error was raised", 2)
  end
  return err
end

-- fn() fails with a message that contains `text`, positioned at a line inside fn itself. -> the message
function helper.failshere(text, fn)
  local ok, err = pcall(fn)
  if ok then
    error("no error was raised, but expected: " .. text, 2)
  end
  err = tostring(err)
  local info = debug.getinfo(fn, "S")
  local file, line, rest = err:match("^(.-):(%d+): (.*)$")
  line = tonumber(line)
  if file ~= info.short_src or line < info.linedefined or line > info.lastlinedefined then
    error(("the error names another place than %s:%d-%d: %s"):format(info.short_src, info.linedefined,
      info.lastlinedefined, err), 2)
  end
  if not rest:find(text, 1, true) then
    error(("expected '%s' in the error: %s"):format(text, err), 2)
  end
  return rest
end

-- Makes a handle at home one that other Ps know. -> the handle
function helper.share(handle)
  local home = getmetatable(handle)
  lp.spawn(function(h) return h end, handle)
  assert(getmetatable(handle) ~= home, "it was shared before")
  return handle
end

-- Collects garbage until nothing more comes free.
function helper.collect()
  collectgarbage()
  collectgarbage()
end

-- describe or it, for bodies that keep the environment they were made in.
function helper.plain(block)
  return function(name, body)
    return block(name, function() return body() end)
  end
end

-- Processes ----------------------------------------------------------------------------------------------------------

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end
helper.quote = quote

local function slurp(name)
  local f = assert(io.open(name, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end
helper.slurp = slurp

-- Calls fn(name) with the name of a file that holds text and is gone afterwards.
function helper.withfile(text, fn, suffix)
  local name = os.tmpname()
  local full = name .. (suffix or "")
  local f = assert(io.open(full, "wb"))
  f:write(text)
  f:close()
  local function done(...)
    os.remove(full)
    os.remove(name)
    return ...
  end
  return done(fn(full))
end

-- Runs a shell command. -> stdout, stderr, exit status (128 + n for signal n; 124 if it did not end in time)
function helper.sh(command, stdin)
  local out, err, inp = os.tmpname(), os.tmpname(), nil
  if stdin then
    inp = os.tmpname()
    local f = assert(io.open(inp, "wb"))
    f:write(stdin)
    f:close()
  end
  local status = os.execute(("timeout 120 sh -c %s >%s 2>%s <%s"):format(quote(command), out, err,
    inp or "/dev/null"))
  local o, e = slurp(out), slurp(err)
  os.remove(out)
  os.remove(err)
  if inp then
    os.remove(inp)
  end
  return o, e, status / 256
end

-- Runs the executable with a command line. -> stdout, stderr, status
function helper.luapark(args, stdin)
  return helper.sh(quote(helper.exe) .. " " .. args, stdin)
end

-- Runs the script text with the executable, or with the plain luajit. -> stdout, stderr, status
function helper.script(text, args, stdin)
  return helper.withfile(text, function(name)
    return helper.luapark(name .. " " .. (args or ""), stdin)
  end)
end

-- The environment that makes a stock luajit find the module.
helper.moduleenv = ("LUA_INIT= LUA_PATH=%s LUA_CPATH=%s "):format(
  quote(("%s/share/lua/5.1/?.lua;%s/share/lua/5.1/?/init.lua;;"):format(build, build)),
  quote(("%s/lib/lua/5.1/?.so;;"):format(build)))

-- Runs the script text with a stock luajit that finds the module. -> stdout, stderr, status
function helper.module(text, args, stdin)
  return helper.withfile(text, function(name)
    return helper.sh(helper.moduleenv .. "luajit " .. name .. " " .. (args or ""), stdin)
  end)
end

-- A program for a stock luajit that runs a script, its first argument, as the executable would.
helper.driver = [[
  local lp = require "luapark"
  for _, name in ipairs { "go", "chan", "gopark", "goready", "getg", "gosched" } do
    _G[name] = lp[name]
  end
  luapark = lp
  local ok, err = pcall(lp.run, assert(loadfile(arg[1])))
  if not ok then
    io.stderr:write(tostring(err))
    os.exit(2)
  end
]]

-- Runs the script text with the executable or, where busted runs in a stock luajit, with that. The file's name is evened
-- out. -> stdout, stderr, status
function helper.program(text, environment)
  local function even(name, out, err, status)
    name = name:gsub("%p", "%%%0")
    return (out:gsub(name, "SCRIPT")), (err:gsub(name, "SCRIPT")), status
  end
  return helper.withfile(text, function(name)
    if helper.inexe then
      return even(name, helper.sh(("%s %s %s"):format(environment or "", quote(helper.exe), name)))
    end
    return helper.withfile(helper.driver, function(driver)
      return even(name, helper.sh(("%s %s luajit %s %s"):format(helper.moduleenv, environment or "", driver, name)))
    end)
  end)
end

-- What programs on several Ps begin with.
local HEAD = [[
local lp = require "luapark"
local go, spawn, chan, gosched = lp.go, lp.spawn, lp.chan, lp.gosched
-- Runs a copy of fn on another P for certain: the caller waits for its beginning without parking.
local function elsewhere(fn, ...)
  local begun = lp.atomic()
  spawn(function(...)
    begun:store(1)
    return fn(...)
  end, ...)
  while begun:load() == 0 do end
end
-- Waits for cond; other Ps do what it needs in a moment.
local function eventually(cond)
  for _ = 1, 1000 do
    if cond() then return true end
    lp.sleep(0.01)
  end
end
]]

-- Four Ps run head, which may define more, and text as the main goroutine: in the executable in its part, and in a stock
-- luajit in the module's. They print `want`, and that is all that comes of it.
function helper.prints(want, text, head)
  helper.withfile(("%s%slp.run(function()\n%s\nend)"):format(HEAD, head or "", text), function(name)
    local env = "env -u LUA_INIT -u LUAPARK_STEAL -u LUAPARK_DEBUG LUAPARK_MAXPROCS=4 timeout 60 "
    local command = helper.inexe and env .. quote(helper.exe) or helper.moduleenv .. env .. "luajit"
    local out, err, status = helper.sh(command .. " " .. name)
    require("luassert").same({ want, "", 0 }, { out, err, status })
  end)
end

-- Runs the script text in both programs: {out, err, status} of luapark, and of plain luajit. The program's name, the
-- file's name and the bottom frame of tracebacks (which stands for the C main of luajit) are evened out.
function helper.both(text, args, stdin)
  return helper.withfile(text, function(name)
    local function even(s, program)
      s = ("\n" .. s):gsub("\n" .. program .. ": ", "\nPROGRAM: "):sub(2)
      s = s:gsub("\n\t%[C%]: at 0x%x+", ""):gsub("(%[builtin#%d+%]: at) 0x%x+", "%1 ADDRESS")
      s = s:gsub(name:gsub("%p", "%%%0"), "SCRIPT")
      return s
    end
    local function result(program, out, err, status)
      return { out = even(out, program), err = even(err, program), status = status }
    end
    local cmd = " " .. name .. " " .. (args or "")
    return result("luapark", helper.sh(quote(helper.exe) .. cmd, stdin)),
      result("luajit", helper.sh("LUA_INIT= luajit" .. cmd, stdin))
  end)
end

-- Descriptors --------------------------------------------------------------------------------------------------------

ffi.cdef "int fcntl(int fd, int cmd, ...);"
local F_GETFD = 1

-- How many descriptors are open.
function helper.ndescriptors()
  local n = 0
  for fd = 0, 4095 do
    if ffi.C.fcntl(fd, F_GETFD) ~= -1 then
      n = n + 1
    end
  end
  return n
end

return helper
