-- SPDX-License-Identifier: MIT

-- Hosts in C: examples/host.c, linked with the module as an embedder's program is, and spec/host/host.c, which opens and
-- closes states; that one has the sanitizers in builds that have them.

local helper = require "spec.helper"
local quote, sh = helper.quote, helper.sh

local build = os.getenv "LUAPARK_BUILD" or "build"
local sanitized = build ~= "build"
if helper.inexe ~= sanitized then
  return -- once is enough; a build with sanitizers has no module's part
end

local EXAMPLE, HOST = build .. "/examples/host", build .. "/spec/host/host"
local ENV = "env -u LUAPARK_PREEMPT -u LUAPARK_DEBUG LUAPARK_MAXPROCS=2 " .. helper.moduleenv

local function exists(name)
  local f = io.open(name)
  return f and f:close()
end

-- Runs the host. -> stdout; there must be nothing else.
local function host(args, environment)
  local out, err, status = sh(("%s %s %s %s"):format(ENV, environment or "", HOST, args))
  assert.same({ "", 0 }, { err, status }, out)
  return out
end

-- The same with a file for each text.
local function hosts(texts, option, ...)
  local names = {}
  for i, text in ipairs(texts) do
    names[i] = os.tmpname()
    local f = assert(io.open(names[i], "w"))
    f:write(text)
    f:close()
  end
  local out = host((option or "") .. " " .. table.concat(names, " "), ...)
  for _, name in ipairs(names) do
    os.remove(name)
  end
  return out
end

if not exists(HOST) then
  describe("a host in C", function()
    pending "is not built here"
  end)
  return
end

describe("examples/host.c", function()
  it("prints what its header says", function()
    if sanitized then -- the module is the ordinary one there
      pending "with the sanitizers only the other host"
      return
    end
    local want = {}
    for line in helper.slurp("examples/host.c"):match("\n %* Prints:\n(.-)\n %*/"):gmatch "[^\n]+" do
      want[#want + 1] = line:match "^ %*   (.*)$" .. "\n"
    end
    assert.same({ table.concat(want), "", 0 }, { sh(ENV .. EXAMPLE) })
  end)
end)

describe("lua_close", function()
  it("ends the threads", function()
    assert.equal("1 thread\n", hosts { [[
      local lp = require "luapark"
      lp.run(function() for i = 1, 4 do lp.spawn(function() lp.sleep(0.01) end) end end)
    ]] })
  end)

  it("needs no run before it", function()
    assert.equal("1 thread\n", hosts { "require 'luapark'" })
  end)

  it("ends cleanly with whatever is left", function()
    assert.equal("ok 2\n1 thread\n", host "spec/host/leftovers.lua")
  end)

  it("leaves valgrind nothing to say, also where another state follows", function()
    if sanitized or os.execute "command -v valgrind >/dev/null 2>&1" ~= 0 then
      pending "needs valgrind, and a build without sanitizers"
      return
    end
    local file = " spec/host/leftovers.lua"
    local out, err, status = sh(ENV .. "valgrind -q --leak-check=no --error-exitcode=9 " .. HOST .. file .. file)
    assert.same({ "ok 2\nok 2\n1 thread\n", "", 0 }, { out, err, status })
  end)
end)

describe("a second state", function()
  it("is refused in words while the first is open, and the first goes on", function()
    assert.equal("first\nerror: luapark is already loaded in another Lua state of this process\n1 thread\n", hosts({
      "return require 'luapark'.run(function() return 'first' end)",
      "local ok, e = pcall(require, 'luapark') error(e, 0)",
    }, "-k"))
  end)

  it("works when the first is closed, as in a new process", function()
    local text = [[
      local lp = require "luapark"
      local before = lp.gomaxprocs(5)
      local sum = lp.run(function()
        local c, s = lp.chan(), 0
        for i = 1, 10 do lp.spawn(function(out, n) out:send(n) end, c, i) end
        for i = 1, 10 do s = s + c:recv() end
        return s
      end)
      lp.run(function() lp.go(function() lp.chan():recv() end) lp.gosched() end)
      return before .. " " .. sum .. " " .. lp.numgoroutine()
    ]]
    assert.equal("2 55 1\n2 55 1\n2 55 1\n1 thread\n", hosts { text, text, text })
  end)

  it("works after one that luapark was only loaded in, and one that it was not", function()
    assert.equal("42\n1 thread\n",
      hosts { "require 'luapark'", "", "return require 'luapark'.run(function() return 42 end)" })
  end)

  it("finds nothing of those before it, however many there were", function()
    local n = sanitized and 10 or 40
    local files = (" spec/host/leftovers.lua"):rep(n)
    assert.equal(("ok 2\n"):rep(n) .. "1 thread\n", host(files))
    assert.equal(("ok 2\n"):rep(n) .. "1 thread\n", host(files, "LUAPARK_DEBUG=stress"))
  end)

  it("of another that failed to load the Lua half works", function()
    assert.equal("error: module 'luapark.rt' not found:\n7\n1 thread\n", hosts {
      [[
        package.preload["luapark.rt"] = function() error("module 'luapark.rt' not found:", 0) end
        require "luapark"
      ]],
      "return require 'luapark'.run(function() return 7 end)",
    })
  end)
end)

describe("run in a finalizer", function()
  it("is refused in words, also while the state is being closed", function()
    local out = hosts { [[
      local early = newproxy(true)
      local lp = require "luapark"
      local late = newproxy(true)
      local function finalizer()
        print(pcall(lp.run, function() lp.gosched() end))
        io.stdout:flush()
      end
      getmetatable(early).__gc, getmetatable(late).__gc = finalizer, finalizer
      getmetatable(newproxy(true)).__gc = finalizer
      collectgarbage()
      _G.early, _G.late = early, late
    ]] }
    assert.equal(("false\trun in a finalizer, or a VM event handler (jit.attach)\n"):rep(3) .. "1 thread\n", out)
  end)
end)

describe("a host that shows Lua's API to nobody", function()
  it("is told so by the loader, and not by a crash", function()
    if sanitized then
      pending "the module is the ordinary one there"
      return
    end
    -- as dlopen sees it: nobody has the one symbol that must be there
    local out = helper.withfile("#include <dlfcn.h>\n#include <stdio.h>\nint main(int n, char **a) { (void)n; "
      .. "printf(\"%s\\n\", dlopen(a[1], RTLD_NOW) ? \"loaded\" : dlerror()); return 0; }\n", function(name)
      return (sh(("cc -o %s.exe %s && %s.exe %s; rm -f %s.exe"):format(name, name, name,
        quote("./" .. build .. "/lib/lua/5.1/luapark/core.so"), name)))
    end, ".c")
    assert.matches("undefined symbol: luaL_error", out)
  end)
end)
