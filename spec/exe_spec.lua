-- SPDX-License-Identifier: MIT

-- The executable: luajit's command line, and the ends of a program.

local helper = require "spec.helper"
local script, luapark, both, quote = helper.script, helper.luapark, helper.both, helper.quote

-- What out, err and status must be.
local function expect(out, err, status, ...)
  assert.same({ out, err, status }, { ... })
end

-- The text runs alike in both programs: output, messages but for the program's name, exit status.
local function alike(text, args, stdin)
  local ours, plain = both(text, args, stdin)
  assert.same(plain, ours)
  return ours
end

describe("a script", function()
  it("gets its arguments, as ... and as arg", function()
    local text = [[
      print(select("#", ...), ...)
      for i = -1, 5 do print(i, arg[i]) end
      print(#arg, arg[0])
    ]]
    local ours, plain = both(text, "a 'b c' '' -x --")
    ours.out = ours.out:gsub("\n%-1\t[^\n]*", "\n-1\tPROGRAM")
    plain.out = plain.out:gsub("\n%-1\t[^\n]*", "\n-1\tPROGRAM")
    assert.same(plain, ours)
    assert.matches("^5\ta\tb c\t\t%-x\t%-%-\n", ours.out)
  end)

  it("gets many arguments", function()
    local args = {}
    for i = 1, 1000 do
      args[i] = tostring(i)
    end
    expect("1000\t1000\n", "", 0, script("print(select('#', ...), (select(1000, ...)))", table.concat(args, " ")))
  end)

  it("may begin with a #! line", function()
    expect("5\n", "", 0, script("#!/usr/bin/env luapark\nprint(5)"))
    alike("#!/usr/bin/env luapark\nerror('line 2')")
  end)

  it("comes from stdin", function()
    expect("in\t2\n", "", 0, luapark("- a b", "print('in', select('#', ...))"))
    expect("in\n", "", 0, luapark("", "print 'in'"))
    local _, err, status = luapark("-", "local x = = 1")
    assert.matches("^luapark: stdin:1: ", err)
    assert.equal(1, status)
  end)

  it("has go, chan, gopark, goready, getg, gosched and luapark as globals", function()
    expect("true\n", "", 0, script [[
      print(go == luapark.go and chan == luapark.chan and gopark == luapark.gopark and goready == luapark.goready
        and getg == luapark.getg and gosched == luapark.gosched and luapark == require "luapark")
    ]])
  end)

  it("leaves Lua's own select and all else as it is", function()
    local ours = script [[
      local names = {}
      for k, v in pairs(_G) do
        names[#names + 1] = k
      end
      table.sort(names)
      print(table.concat(names, " "))
      print(select(2, "a", "b"))
    ]]
    local _, plain = both [[
      local names = {}
      for k, v in pairs(_G) do
        names[#names + 1] = k
      end
      for _, k in ipairs { "go", "chan", "gopark", "goready", "getg", "gosched", "luapark" } do
        names[#names + 1] = k
      end
      table.sort(names)
      print(table.concat(names, " "))
      print(select(2, "a", "b"))
    ]]
    -- what a newer LuaJIT than the installed one has beyond it is its own
    local function words(s)
      local t = {}
      for w in s:gmatch "%S+" do
        t[w] = true
      end
      return t
    end
    local o, p = words(ours), words(plain.out)
    for w in pairs(p) do
      assert.is_true(o[w], w .. " is missing")
    end
    for w in pairs(o) do
      assert.is_true(p[w] or false, w .. " is there")
    end
    assert.matches("\nb\n$", ours)
  end)

  it("runs as goroutine 1 and looks like Lua's main thread", function()
    expect("goroutine 1 [running]\tnil\n", "", 0, script "print(getg(), coroutine.running())")
  end)

  it("writes large output whole", function()
    local out, err, status = script [[
      local line = ("x"):rep(99) .. "\n"
      for i = 1, 50000 do io.write(line) end
      go(function() for i = 1, 50000 do io.write(line) end end)
    ]]
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(10000000, #out)
    assert.is_nil(out:gsub("x", ""):find "[^\n]")
  end)

  it("reads its input", function()
    expect("one two\n", "", 0, script("print(io.read() .. ' ' .. io.read('*a'))", "", "one\ntwo"))
  end)
end)

describe("the options", function()
  it("-e runs a string, several in their order", function()
    expect("1\n2\n", "", 0, luapark "-e 'print(1)' -e'print(2)'")
    expect("x\n", "", 0, luapark "-e 'go(print, [[x]])'")
    local _, err, status = luapark "-e 'error([[e]])'"
    assert.matches("^luapark: %(command line%):1: e\nstack traceback:\n", err)
    assert.equal(1, status)
    _, err, status = luapark "-e 'x ='"
    assert.matches("^luapark: %(command line%):1: unexpected symbol near '<eof>'\n$", err)
    assert.equal(1, status)
  end)

  it("-e runs before the script, and ends the program if it fails", function()
    helper.withfile("print 'script'", function(name)
      expect("e\nscript\n", "", 0, luapark("-e 'print [[e]]' " .. name))
      local out, _, status = luapark("-e 'error(1)' " .. name)
      assert.equal("", out)
      assert.equal(1, status)
    end)
  end)

  it("-e knows arg", function()
    helper.withfile("print 'script'", function(name)
      expect("x\nscript\n", "", 0, luapark("-e 'print(arg[1])' " .. name .. " x"))
    end)
  end)

  it("-l requires a library", function()
    expect("function\n", "", 0, luapark "-l ffi -e 'print(type(require [[ffi]].new))'")
    expect("true\n", "", 0, luapark "-lluapark.chan -e 'print(package.loaded[ [[luapark.chan]] ] ~= nil)'")
    local _, err, status = luapark "-l no.such.library -e 'print(1)'"
    assert.matches("^luapark: module 'no.such.library' not found:\n", err)
    assert.equal(1, status)
  end)

  it("-l requires a library whose chunk waits", function()
    helper.withfile("luapark.sleep(0.001) print 'lib'", function(name)
      local dir, base = name:match "^(.*)/(.*)%.lua$"
      expect("lib\ne\n", "", 0, helper.sh(("LUA_PATH=%s %s -l %s -e 'print [[e]]'"):format(quote(dir .. "/?.lua;;"),
        quote(helper.exe), base)))
    end, ".lua")
  end)

  it("-v says the versions", function()
    local out, err, status = luapark "-v"
    assert.matches("^Luapark %d+%.%d+%.%d+ %-%- LuaJIT 2%.1", out)
    expect("", 0, nil, err, status)
    out = luapark "-v -e 'print(1)'"
    assert.matches("\n1\n$", out)
  end)

  it("-j and -O reach the JIT", function()
    expect("false\n", "", 0, luapark "-j off -e 'print((jit.status()))'")
    expect("false\n", "", 0, luapark "-joff -e 'print((jit.status()))'")
    expect("true\n", "", 0, luapark "-j on -e 'print((jit.status()))'")
    local function flags(args)
      return (luapark(args .. " -e 'print(jit.status())'"))
    end
    assert.matches("loop", flags "-O3")
    assert.is_nil(flags("-O1"):find "loop")
    assert.is_nil(flags("-O-loop"):find "loop")
    local _, err, status = luapark "-Onosuch -e 'print(1)'"
    assert.matches("^luapark: unknown or malformed optimization flag 'nosuch'", err)
    assert.equal(1, status)
  end)

  it("-j takes the jit.* modules", function()
    local out, err, status = luapark "-j dump=+b,/dev/null -e 'for i = 1, 100 do end print(1)'"
    expect("1\n", "", 0, out, err, status)
    out, err, status = luapark "-jv -e 'for i = 1, 100 do end print(1)'"
    assert.equal("1\n", out)
    assert.matches("%[TRACE", err)
    assert.equal(0, status)
    out, err, status = luapark "-j nosuch -e 'print(1)'"
    assert.equal("", out)
    assert.matches("^luapark: unknown luaJIT command or jit.%* modules not installed\n", err)
    assert.equal(1, status)
  end)

  it("-E ignores the environment", function()
    local out = helper.sh(("LUA_INIT='print(1)' LUA_PATH=nowhere %s -E -e 'print(package.path)'"):format(
      quote(helper.exe)))
    assert.is_nil(out:find("1\n", 1, true) == 1 or out:find("nowhere", 1, true))
  end)

  it("-- ends them", function()
    helper.withfile("print(...)", function(name)
      expect("-e\n", "", 0, luapark("-- " .. name .. " -e"))
    end)
  end)

  it("that do not exist, or lack their argument, get the usage and exit 1", function()
    for _, args in ipairs { "-q", "--nosuch", "-e", "-l", "-j", "-vx", "-Ex" } do
      local out, err, status = luapark(args)
      assert.equal("", out)
      assert.matches("^usage: luapark %[options%]", err)
      assert.equal(1, status)
    end
  end)

  it("-i is understood as far as luajit's habit goes", function()
    local out, _, status = luapark("-i -e 'print(40 + 2)'", "print(1 + 1)\n")
    assert.matches("42\n", out)
    assert.matches("2\n", out)
    assert.equal(0, status)
  end)
end)

describe("the environment", function()
  local exe = quote(helper.exe)

  it("LUA_INIT runs first, as a string or as a file", function()
    expect("init\nmain\n", "", 0, helper.sh(("LUA_INIT='print [[init]]' %s -e 'print [[main]]'"):format(exe)))
    helper.withfile("go(print, 'file')", function(name)
      expect("file\nmain\n", "", 0, helper.sh(("LUA_INIT=@%s %s -e 'print [[main]]'"):format(name, exe)))
    end)
    local out, err, status = helper.sh(("LUA_INIT='error [[x]]' %s -e 'print [[main]]'"):format(exe))
    assert.equal("", out)
    assert.matches("^luapark: LUA_INIT:1: x\n", err)
    assert.equal(1, status)
  end)

  it("LUA_PATH and LUA_CPATH say where modules are, Luapark's own come first", function()
    local out, err, status = helper.sh(("LUA_PATH='/a/?.lua' LUA_CPATH='/b/?.so' %s -e %s"):format(exe, quote [[
      print(package.path:match "/a/%?%.lua$", package.cpath:match "/b/%?%.so$", require "luapark" == luapark)
    ]]))
    expect("/a/?.lua\t/b/?.so\ttrue\n", "", 0, out, err, status)
  end)

  it("may lack everything", function()
    expect("1\n", "", 0, helper.sh(("env -i %s -e 'print(1)'"):format(exe)))
  end)

  it("may be another directory, and the program started by a link", function()
    local cwd = helper.exe:sub(1, 1) == "/" and "" or '"$PWD"/'
    expect("1\n", "", 0, helper.sh(("p=%s%s; cd / && $p -e 'print(1)'"):format(cwd, exe)))
    expect("1\n", "", 0, helper.sh((
      "d=$(mktemp -d); ln -s %s%s $d/lp; $d/lp -e 'print(1)'; s=$?; rm -r $d; exit $s"):format(cwd, exe)))
  end)
end)

describe("errors are luajit's to the letter", function()
  it("a missing script", function()
    local ours, plain
    ours = { luapark "/no/such/script.lua" }
    plain = { helper.sh "LUA_INIT= luajit /no/such/script.lua" }
    plain[2] = plain[2]:gsub("^luajit: ", "luapark: ")
    assert.same(plain, ours)
    assert.equal(1, ours[3])
  end)

  for _, text in ipairs { "local x = = 5", "goto nowhere", "for", "x = 'unfinished", "return return" } do
    it("a script that does not compile: " .. text, function()
      assert.equal(1, alike(text).status)
    end)
  end

  for _, text in ipairs {
    "local t = nil\nprint(t.x)",
    "error 'message'",
    "error('no position', 0)",
    "error('level 2', 2)",
    "local function f() error 'deep' end\nlocal function g() f() end\nfunction h() g() end\nh()",
    "local function f() local x = nil + 1 end\nlocal function g() f() end\ng()",
    "local function f(n) if n == 0 then error 'end' end return (f(n - 1)) end f(10)",
    "table.sort({3, 2, 1}, function() error 'in a comparator' end)",
    "string.gsub('x', 'x', function() local x = nil + 1 end)",
    "setmetatable({}, {__index = function(t, k) error('no ' .. k) end}).field()",
    "assert(false)",
    "assert(nil, 'assertion text')",
    "string.rep()",
    "package.path, package.cpath = './?.lua', './?.so' require 'no.such.module'",
  } do
    it("a runtime error's message, traceback and status: " .. text:gsub("\n", " "), function()
      assert.equal(1, alike(text).status)
    end)
  end

  for _, object in ipairs { "{}", "nil", "", "true", "42", "print", "newproxy()",
    "setmetatable({}, {__tostring = function() return 'in words' end})",
    "setmetatable({}, {__tostring = function() return {} end})",
    "setmetatable({}, {__tostring = function() error 'worse' end})" } do
    it("an error object: error(" .. object .. ")", function()
      assert.equal(1, alike("error(" .. object .. ")").status)
    end)
  end

  it("an error out of a coroutine, with what ran in it, which luajit does not show", function()
    local ours, plain = both "coroutine.wrap(function() error 'in a coroutine' end)()"
    assert.equal(plain.err, (ours.err:gsub("\t%[C%]: in function 'error'\n\tSCRIPT:1: in function <SCRIPT:1>\n", "")))
    assert.not_equal(plain.err, ours.err)
    assert.equal(plain.status, ours.status)
  end)

  it("a stack overflow, in its words", function()
    -- Whether the message has a position depends, in luajit as well, on whether the recursion was compiled.
    local ours, plain = both "jit.off() local function f() return 1 + f() end f()"
    assert.equal(plain.err:match "^[^\n]*", ours.err:match "^[^\n]*")
    assert.equal(1, ours.status)
  end)

  it("what was printed before comes out", function()
    local ours = alike "io.write 'before ' print 'it' error 'x'"
    assert.equal("before it\n", ours.out)
  end)

  it("after the script waited as well", function()
    local _, err, status = script [[
local function f()
  luapark.sleep(0.001)
  error "late"
end
f()
]]
    assert.matches("^luapark: .-:3: late\nstack traceback:\n\t%[C%]: in function 'error'\n\t.-:3: in function 'f'\n" ..
      "\t.-:5: in main chunk\n$", err)
    assert.equal(1, status)
  end)
end)

describe("os.exit", function()
  it("ends the program with its status", function()
    assert.equal(7, alike("os.exit(7)").status)
    assert.equal(0, alike("os.exit(true)").status)
    assert.equal(1, alike("os.exit(false)").status)
    assert.equal(0, alike("os.exit()").status)
    assert.equal(0, alike("os.exit(0, true)").status)
    assert.equal(3, alike("os.exit(3, true)").status)
  end)

  it("ends it from another goroutine, from a coroutine, from inside C calls, whatever waits", function()
    expect("", "", 7, script "go(function() os.exit(7) end) chan():recv()")
    expect("", "", 0, script "go(function() os.exit(true) end) chan():recv()")
    expect("", "", 1, script "go(function() os.exit(false) end) chan():recv()")
    expect("", "", 7, script "go(function() coroutine.wrap(function() os.exit(7) end)() end) chan():recv()")
    expect("", "", 7, script "go(function() table.sort({2, 1}, function() gosched() os.exit(7) end) end) chan():recv()")
    expect("", "", 7, script "go(function() os.exit(7, true) end) chan():recv()")
    expect("", "", 7, script "go(function() luapark.sleep(3600) end) gosched() os.exit(7, true)")
    expect("", "", 7, script [[
      for i = 1, 10 do
        go(function() string.gsub("x", "x", function() luapark.sleep(3600) end) end)
      end
      gosched()
      os.exit(7, true)
    ]])
  end)

  it("writes out what was printed", function()
    expect("text", "", 3, script "go(function() io.write 'text' os.exit(3) end) chan():recv()")
  end)

  it("has a twin, luapark.exit", function()
    expect("x\n", "", 7, script "print 'x' luapark.exit(7)")
    expect("", "", 0, script "luapark.exit()")
    expect("", "", 1, script "go(luapark.exit, false) chan():recv()")
    expect("", "", 0, script "go(luapark.exit, true) chan():recv()")
  end)
end)

describe("an error in another goroutine", function()
  it("names it, with message, traceback and creator, and exits 2", function()
    local out, err, status = script [[
local function work(x)
  local y = x + 1
  return y
end
print "begin"
go(function()
  luapark.sleep(0.001)
  work(nil)
end)
chan():recv()
print "not reached"
]]
    assert.equal("begin\n", out)
    assert.equal(2, status)
    assert.matches("^goroutine 2 %[running%]:\n" ..
      "[^\n]-:2: attempt to perform arithmetic on local 'x' %(a nil value%)\n" ..
      "stack traceback:\n" ..
      "\t[^\n]-:2: in function 'work'\n" ..
      "\t[^\n]-:8: in function <[^\n]-:6>\n" ..
      "created by [^\n]-:6 in goroutine 1\n$", err)
  end)

  it("names its creator among goroutines", function()
    local _, err, status = script [[
go(function()
  go(function()
    go(error, "third generation", 0)
  end)
end)
chan():recv()
]]
    assert.matches("^goroutine 4 %[running%]:\nthird generation\nstack traceback:\n", err)
    assert.matches("\ncreated by [^\n]-:3 in goroutine 3\n$", err)
    assert.equal(2, status)
  end)

  it("may be any object", function()
    local function says(text, ...)
      local _, err, status = script(("go(function() error(%s) end) chan():recv()"):format(text))
      assert.equal(2, status)
      assert.matches("^goroutine 2 %[running%]:\n", err)
      for _, s in ipairs { ... } do
        assert.truthy(err:find(s, 1, true), err)
      end
      assert.matches("\ncreated by [^\n]-:1 in goroutine 1\n$", err)
    end
    says("{}", "(error object is a table value)", "stack traceback:")
    says("nil", "(error object is a nil value)")
    says("setmetatable({}, { __tostring = function() return 'in words' end })", "\nin words\n")
    says("42", "42")
    says("true", "(error object is a boolean value)")
    says("setmetatable({}, { __tostring = function() error 'worse' end })", "created by")
    says("setmetatable({}, { __tostring = function() luapark.sleep(0.01) return 'waits' end })", "created by")
  end)

  it("shows the traceback of a coroutine in it by the place of its resume", function()
    local _, err, status = script [[
go(function()
  local gen = coroutine.wrap(function()
    gosched()
    error "in the coroutine"
  end)
  gen()
end)
chan():recv()
]]
    assert.matches(":4: in the coroutine\nstack traceback:\n", err)
    assert.matches(":6: in function <", err)
    assert.equal(2, status)
  end)

  it("ends the program at once: nobody else runs, what was printed comes out", function()
    local out, _, status = script [[
      luapark.gomaxprocs(1) -- on another P the second one could be faster
      go(function() print "one" error "x" end)
      go(function() gosched() gosched() gosched() print "never" end)
      gosched()
      luapark.sleep(1)
      print "never"
    ]]
    assert.equal("one\n", out)
    assert.equal(2, status)
  end)

  it("under a C function is as good", function()
    local _, err, status = script [[
      go(function() table.sort({ 3, 2, 1 }, function() luapark.sleep(0.001) error "x" end) end)
      chan():recv()
    ]]
    assert.matches("%[C%]: in function 'sort'", err)
    assert.equal(2, status)
  end)

  it("in one of thousands is as good", function()
    local _, err, status = script [[
      for i = 1, 20000 do
        go(function() luapark.sleep(0.01) if i == 7000 then error("number " .. i) end end)
      end
      chan():recv()
    ]]
    assert.matches("^goroutine 7001 %[running%]:\n", err)
    assert.matches(": number 7000\n", err)
    assert.equal(2, status)
  end)

  it("is not one where pcall catches it", function()
    expect("false\n", "", 0, script "go(function() print((pcall(function() luapark.sleep(0.001) error 'x' end))) end)")
  end)
end)

describe("a deadlock", function()
  it("is said, with every goroutine and its wait reason, and exits 2", function()
    local out, err, status = script [[
local c, m, wg = chan(), luapark.mutex(), luapark.waitgroup()
m:lock()
wg:add()
go(function() c:recv() end)
go(function() chan():send(1) end)
go(function() luapark.select { chan(), chan() } end)
go(function() m:lock() end)
go(function() wg:wait() end)
go(function() gopark(nil, nil, "my own reason") end)
go(function() gopark() end)
go(function() string.gsub("x", "x", function() c:recv() end) end)
go(function() coroutine.wrap(function() c:recv() end)() end)
gosched()
print "begin"
c:recv()
]]
    assert.equal("begin\n", out)
    assert.equal(2, status)
    assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]:\n", err)
    for id, reason in ipairs { "chan receive", "chan receive", "chan send", "select", "sync.Mutex.Lock",
      "sync.WaitGroup.Wait", "my own reason", "gopark", "chan receive", "chan receive" } do
      assert.truthy(err:find(("goroutine %d [%s]:\n"):format(id, reason), 1, true), id .. " in:\n" .. err)
      if id > 1 then
        assert.truthy(err:find(("created by SCRIPT:%d in goroutine 1\n"):format(id + 2):gsub("SCRIPT",
          err:match "created by (.-):%d"), 1, true), id .. " in:\n" .. err)
      end
    end
    assert.matches("\n\t[^\n]-:15: in main chunk\n", err)
    assert.matches("%[C%]: in function 'gsub'", err)
  end)

  it("is found after some time of work, too", function()
    local out, err, status = script [[
      for i = 1, 100 do go(function() luapark.sleep(i / 1e4) end) end
      go(function() luapark.sleep(0.02) print "last" end)
      chan():recv()
    ]]
    assert.equal("last\n", out)
    assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]:\n", err)
    assert.equal(2, status)
  end)

  it("is none while a goroutine sleeps that could end it", function()
    expect("v\n", "", 0, script [[
      local c = chan()
      go(function() luapark.sleep(0.02) c:send "v" end)
      print((c:recv()))
    ]])
  end)

  it("under a C function is said as well, by main", function()
    local _, err, status = script "table.sort({ 2, 1 }, function() chan():recv() end)"
    assert.matches("goroutine 1 %[chan receive%]:\n", err)
    assert.matches("in function 'sort'", err)
    assert.equal(2, status)
  end)

  it("of 2,000 goroutines under C functions is said, and the program ends", function()
    local _, err, status = script [[
      for i = 1, 2000 do go(function() string.gsub("x", "x", function() chan():recv() end) end) end
      chan():recv()
    ]]
    assert.matches("^fatal error: all goroutines are asleep", err)
    assert.matches("goroutine 2001 %[chan receive%]:\n", err)
    assert.equal(2, status)
  end)

  it("in -e and in LUA_INIT is one as well", function()
    local _, err, status = luapark "-e 'chan():recv()'"
    assert.matches("^fatal error: all goroutines are asleep", err)
    assert.equal(2, status)
    _, err, status = helper.sh(("LUA_INIT='chan():recv()' %s -e 'print(1)'"):format(quote(helper.exe)))
    assert.matches("^fatal error: all goroutines are asleep", err)
    assert.equal(2, status)
  end)
end)

describe("a script that falls off its end", function()
  it("waits for its goroutines", function()
    expect("end\n1\n2\n3\n", "", 0, script [[
      for i = 1, 3 do go(function() luapark.sleep(i * 0.01) print(i) end) end
      print "end"
    ]])
  end)

  it("waits for goroutines that start others", function()
    expect("100\n", "", 0, script [[
      local function step(n)
        if n == 100 then print(n) else gosched() go(step, n + 1) end
      end
      go(step, 0)
    ]])
  end)

  it("is not kept by goroutines that could only wait for ever", function()
    expect("end\n", "", 0, script [[
      for i = 1, 10 do
        go(function() chan():recv() end)
        go(function() luapark.select { chan() } end)
        go(function() gopark() end)
        go(function() string.gsub("x", "x", function() chan():recv() end) end)
      end
      print "end"
    ]])
  end)

  it("is kept by some while others wait for ever", function()
    expect("end\nlate\n", "", 0, script [[
      go(function() chan():recv() end)
      go(function() luapark.sleep(0.02) print "late" end)
      print "end"
    ]])
  end)

  it("exits 2 if a goroutine fails afterwards", function()
    local out, err, status = script "go(function() luapark.sleep(0.01) error 'late' end) print 'end'"
    assert.equal("end\n", out)
    assert.matches("^goroutine 2 %[running%]:\n[^\n]*: late\n", err)
    assert.equal(2, status)
  end)

  it("exits 2 with the goroutine's error although the script returned values", function()
    local out, err, status = script "go(function() luapark.sleep(0.01) error 'late' end) return 'result', 2"
    assert.equal("", out)
    assert.matches("^goroutine 2 %[running%]:\n[^\n]*: late\n", err)
    assert.equal(2, status)
  end)

  it("returns values that nobody takes", function()
    expect("", "", 0, script "return 1, 2, 3")
    expect("", "", 0, script "return false")
  end)

  it("runs finalizers at the end", function()
    expect("end\nfinalizer\n", "", 0, script [[
      local p = newproxy(true)
      getmetatable(p).__gc = function() print "finalizer" end
      KEEP = p
      go(function() luapark.sleep(0.01) print "end" end)
    ]])
  end)

  it("refuses in words to wait in a finalizer at the end, and does not crash", function()
    local out, err, status = script [[
      for i = 1, 3 do
        local p = newproxy(true)
        getmetatable(p).__gc = function()
          local ok, e = pcall(luapark.sleep, 0.01)
          print(ok, e)
          pcall(go, print, "never")
          pcall(luapark.run, print)
        end
        _G["KEEP" .. i] = p
      end
      go(function() chan():recv() end)
    ]]
    assert.equal("", err)
    assert.equal(0, status)
    local n = 0
    for line in out:gmatch "[^\n]+" do
      if line:find "^false\tcannot wait " or line:find "^false\t.*: cannot wait " then
        n = n + 1
      end
    end
    assert.equal(3, n)
  end)
end)

describe("output to a closed pipe", function()
  it("ends the program or its writing, as luajit's does", function()
    local function through(program)
      return helper.sh("( " .. program ..
        " -e 'for i = 1, 1e6 do print(i) end io.stderr:write [[done]]'; echo $? >&2 ) | head -n 1")
    end
    local ours, plain = { through(quote(helper.exe)) }, { through "LUA_INIT= luajit" }
    assert.same(plain, ours)
  end)

  it("is an error that can be seen where the signal is ignored", function()
    local out, err = helper.sh(("trap '' PIPE; ( %s -e %s ) | true"):format(quote(helper.exe), quote [[
      luapark.sleep(0.05)
      local ok, e, code
      for i = 1, 1e5 do
        ok, e, code = io.write(("x"):rep(1000))
        if not ok then break end
      end
      io.stderr:write(tostring(ok), " ", tostring(code))
    ]]))
    assert.equal("", out)
    assert.equal("nil 32", err)
  end)
end)

describe("signals", function()
  it("end the program as they do luajit", function()
    for _, sig in ipairs { "TERM", "KILL", "HUP" } do
      local _, _, status = helper.sh(("%s -e 'luapark.sleep(60)' & kill -%s $!; wait $!"):format(quote(helper.exe), sig))
      assert.is_true(status > 128, sig .. ": " .. status)
    end
  end)
end)

describe("memory", function()
  it("comes back after 100,000 goroutines have waited", function()
    expect("true\n", "", 0, script [[
      luapark.gomaxprocs(1) -- all in the state whose memory is looked at
      local function round()
        local c = chan()
        for i = 1, 100000 do go(function() c:recv() end) end
        gosched()
        c:close()
        gosched()
        collectgarbage() collectgarbage()
        return collectgarbage "count"
      end
      local first = round()
      local last
      for i = 1, 5 do last = round() end
      print(last < first * 1.3)
    ]])
  end)
end)
