-- SPDX-License-Identifier: MIT

-- luapark.syscall: C functions that block, and what others do meanwhile; and goroutines locked to a thread.

local helper = require "spec.helper"
local ffi = require "ffi"
local lp, run, fails, sh, quote = helper.lp, helper.run, helper.fails, helper.sh, helper.quote
local chan, go = lp.chan, lp.go

ffi.cdef [[
int usleep(unsigned int us);
size_t strlen(const char *s);
long labs(long n);
char *getenv(const char *name);
int open(const char *name, int flags, ...);
int gettid(void);
double sin(double x);
double difftime(long, long);
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
void *memcpy(void *to, const void *from, size_t n);
char *stpncpy(char *to, const char *from, size_t n);
typedef struct { int quot, rem; } luapark_div;
luapark_div div(int, int);
]]
local C = ffi.C

local function ends_well(name, environment)
  assert.same({ "ok\n", "", 0 },
    { sh(("env -u LUAPARK_PREEMPT %s timeout 60 %s %s"):format(environment, quote(helper.exe), name)) })
end

describe("luapark.syscall", function()
  it("gives what FFI gives", run(function()
    assert.equal(5, tonumber(lp.syscall(C.strlen, "hello")))
    assert.equal(0, tonumber(lp.syscall(C.strlen, "")))
    assert.equal(5, tonumber(lp.syscall(C.labs, -5)))
    assert.equal(2 ^ 40, tonumber(lp.syscall(C.labs, -2 ^ 40)))
    assert.is_true(lp.syscall(C.labs, -0x7fffffffffffffffLL) == 0x7fffffffffffffffLL)
    assert.equal("number", type(lp.syscall(C.usleep, 0)))
    assert.equal(os.getenv "HOME" or "", ffi.string(lp.syscall(C.getenv, "HOME")))
    assert.is_true(lp.syscall(C.getenv, "LUAPARK_NO_SUCH_VARIABLE") == nil)
  end))

  it("takes pointers, arrays, structs, enums, booleans, nil, and function pointers in variables", run(function()
    local to, from = ffi.new "int[4]", ffi.new("int[4]", 1, 2, 3, 4)
    assert.is_true(lp.syscall(C.memcpy, to, from, 16) == ffi.cast("void *", to))
    assert.equal(4, to[3])
    local s = ffi.new("struct { int a, b; }", 7, 8)
    lp.syscall(C.memcpy, to, s, ffi.sizeof(s))
    assert.equal(8, to[1])
    local p = ffi.cast("long (*)(long)", C.labs)
    assert.equal(3, tonumber(lp.syscall(p, -3LL)))
    assert.equal(1, tonumber(lp.syscall(p, true)))
    assert.equal(0, tonumber(lp.syscall(p, nil)))
    assert.equal(2, tonumber(lp.syscall(p, ffi.new("enum { X = 2 }", 2))))
    local buffer = ffi.new "char[16]"
    assert.is_true(lp.syscall(C.stpncpy, buffer, "text", 16) == buffer + 4)
  end))

  it("leaves errno to ffi.errno", run(function()
    for _ = 1, 100 do
      assert.equal(-1, lp.syscall(C.open, "/luapark/no/such/file", 0))
      assert.equal(2, ffi.errno())
    end
  end))

  it("says what is wrong", run(function()
    local function says(text, ...)
      assert.matches(text, fails(lp.syscall, ...), 1, true)
    end
    says("bad argument #1 to 'syscall' (C function expected, got no value)")
    says("bad argument #1 to 'syscall' (C function expected, got number)", 5)
    says("bad argument #1 to 'syscall' (C function expected, got function)", print)
    says("bad argument #1 to 'syscall' (C function expected, got cdata of ctype<int *>)", ffi.new "int *")
    says("returns double, which is no integer nor pointer", C.sin, 1)
    says("is no integer nor pointer", C.div, 1, 2)
    says("bad argument #2 to 'syscall' (whole number of 64 bits expected, got 1.5)", C.labs, 1.5)
    says("bad argument #2 to 'syscall' (whole number of 64 bits expected, got nan)", C.labs, 0 / 0)
    says("bad argument #2 to 'syscall' (integer or pointer expected, got table)", C.labs, {})
    says("bad argument #2 to 'syscall' (integer or pointer expected, got function)", C.labs, print)
    says("bad argument #2 to 'syscall' (integer or pointer expected, got double)", C.labs, ffi.new "double")
    says("wrong number of arguments", C.labs, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    if helper.inexe then -- where the number of parameters is known
      says("(1 expected, got 0)", C.labs)
      says("(1 expected, got 2)", C.labs, 1, 2)
    end
  end))

  it("refuses Lua functions, which would run without a P", run(function()
    local compare = ffi.cast("int (*)(const void *, const void *)", function() return 0 end)
    local array = ffi.new "int[4]"
    assert.matches("bad argument #5 to 'syscall' (", fails(lp.syscall, C.qsort, array, 4, 4, compare), 1, true)
    compare:free()
  end))

  it("lets the others go on meanwhile, from wherever it is called", run(function()
    local places = {
      function(f) f() end,
      function(f) table.sort({ 2, 1 }, function(a, b) f() return a < b end) end,
      function(f) string.gsub("x", "x", function() f() end) end,
      function(f) coroutine.wrap(f)() end,
      function(f) tostring(setmetatable({}, { __tostring = function() f() return "" end })) end,
      function(f) assert(pcall(pcall, f)) end,
      function(f) assert(loadstring(string.dump(function(g) g() end)))(f) end,
    }
    for _, place in ipairs(places) do
      local done, turns = false, 0
      local wg = lp.waitgroup()
      wg:add(2)
      go(function()
        place(function() lp.syscall(C.usleep, 30000) end)
        done = true
        wg:done()
      end)
      go(function()
        while not done do
          turns = turns + 1
          lp.gosched()
        end
        wg:done()
      end)
      wg:wait()
      assert.is_true(turns > 100, turns)
    end
  end))

  it("blocks a hundred goroutines at once on one P, and their threads serve again", function()
    helper.withfile([[
      local ffi = require "ffi"
      ffi.cdef "int usleep(unsigned int us);"
      local lp = luapark
      local function threads()
        local n = 0
        for _ in io.popen("ls /proc/" .. io.open("/proc/self/stat"):read "*n" .. "/task"):lines() do n = n + 1 end
        return n
      end
      local wg = lp.waitgroup()
      for round = 1, 3 do
        local before = lp.now()
        for _ = 1, 100 do
          wg:go(function() assert(lp.syscall(ffi.C.usleep, 100000) == 0) end)
        end
        wg:wait()
        assert(lp.now() - before < 5, "one after the other")
        assert(threads() < 150, "threads are not used again")
      end
      print "ok"
    ]], function(name)
      ends_well(name, "LUAPARK_MAXPROCS=1")
    end)
  end)

  it("comes back right from inside table.sort, again and again, whatever the thread", function()
    helper.withfile([[
      local ffi = require "ffi"
      ffi.cdef "int usleep(unsigned int us); int sched_yield(void);"
      local lp = luapark
      local wg = lp.waitgroup()
      for i = 1, 8 do
        wg:go(function()
          for j = 1, 100 do
            local t = {}
            for k = 1, 10 do t[k] = (k * 7 + i + j) % 11 end
            local calls = 0
            table.sort(t, function(a, b)
              calls = calls + 1
              if calls % 4 == 0 then lp.syscall(ffi.C.usleep, j % 50) else lp.syscall(ffi.C.sched_yield) end
              return a < b
            end)
            for k = 2, 10 do assert(t[k - 1] <= t[k]) end
          end
        end)
      end
      wg:wait()
      print "ok"
    ]], function(name)
      for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=2", "LUAPARK_MAXPROCS=1 LUAPARK_DEBUG=preempt",
        "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress" } do
        ends_well(name, environment)
      end
    end)
  end)

  -- LuaJIT keeps errno around a hook; compiled as it comes, in the place where the thread before had it (src/base/errno.h).
  it("keeps errno for a goroutine that is pre-empted and comes back on another thread", function()
    helper.withfile([[
      local lp = luapark
      local wg = lp.waitgroup()
      wg:add(8)
      for k = 1, 8 do
        lp.spawn(function()
          local ffi, x = require "ffi", 0
          for _ = 1, 20 do
            ffi.errno(k + 100)
            for i = 1, 5e5 do x = x + i % 3 end
            local e = ffi.errno()
            assert(e == k + 100, e)
          end
          wg:done()
        end)
      end
      wg:wait()
      print "ok"
    ]], function(name)
      ends_well(name, "LUAPARK_MAXPROCS=3 LUAPARK_DEBUG=stress")
    end)
  end)

  it("is an ordinary call in a finalizer and in the host", function()
    local result
    local p = newproxy(true)
    getmetatable(p).__gc = function() result = tonumber(lp.syscall(C.labs, -9)) end
    p = nil -- luacheck: ignore
    helper.collect()
    assert.equal(9, result)
    assert.equal(8, tonumber(lp.syscall(C.labs, -8)))
  end)

  it("does not hold up the end of the program, nor a signal, nor a deadlock's report", function()
    local function ends(text, environment)
      return helper.withfile([[
        local ffi = require "ffi"
        ffi.cdef "unsigned int sleep(unsigned int s); int usleep(unsigned int us); int kill(int, int); int getpid(void);"
        local lp = luapark
      ]] .. text, function(name)
        return sh(("env -u LUAPARK_PREEMPT %s timeout 20 %s %s"):format(environment, quote(helper.exe), name))
      end)
    end
    for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=4" } do
      assert.same({ "", "", 4 }, { ends("go(function() lp.syscall(ffi.C.sleep, 100) end) lp.sleep(0.03) os.exit(4)",
        environment) })
      assert.same({ "", "", 5 }, { ends("go(function() lp.sleep(0.03) os.exit(5, true) end) lp.syscall(ffi.C.sleep, 100)",
        environment) })
      local _, err, status = ends("go(function() lp.sleep(0.03) error 'boom' end) lp.syscall(ffi.C.sleep, 100)", environment)
      assert.equal(2, status)
      assert.matches(": boom\n", err)
      _, err, status = ends("go(function() lp.sleep(0.03) ffi.C.kill(ffi.C.getpid(), 2) end) lp.syscall(ffi.C.sleep, 100)",
        environment)
      assert.same({ "luapark: interrupted!\n", 130 }, { err, status })
      _, err, status = ends("go(function() lp.syscall(ffi.C.usleep, 50000) end) chan():recv()", environment)
      assert.equal(2, status)
      assert.matches("^fatal error: all goroutines are asleep %- deadlock!\n\ngoroutine 1 %[chan receive%]", err)
    end
  end)
end)

describe("luapark.lockosthread", function()
  it("keeps a goroutine on its thread, and others off it", function()
    helper.withfile([[
      local ffi = require "ffi"
      ffi.cdef "int gettid(void); int usleep(unsigned int us);"
      local lp = luapark
      local mine = {}
      local wg = lp.waitgroup()
      local function stays()
        lp.lockosthread()
        local id = ffi.C.gettid()
        mine[id] = (mine[id] or 0) + 1
        for i = 1, 50 do
          if i % 3 == 0 then lp.sleep(0.0001) elseif i % 3 == 1 then gosched() else lp.syscall(ffi.C.usleep, 100) end
          assert(ffi.C.gettid() == id, "moved")
        end
        lp.lockosthread()
        lp.unlockosthread()
        assert(ffi.C.gettid() == id)
        mine[id] = nil
        lp.unlockosthread()
      end
      for i = 1, 5 do
        wg:go(stays)
        wg:go(function()
          for i = 1, 200 do
            assert(not mine[ffi.C.gettid()], "on another's thread")
            gosched()
          end
        end)
      end
      stays()
      wg:wait()
      print "ok"
    ]], function(name)
      for _, environment in ipairs { "LUAPARK_MAXPROCS=1", "LUAPARK_MAXPROCS=2 LUAPARK_DEBUG=preempt",
        "LUAPARK_MAXPROCS=4 LUAPARK_DEBUG=stress" } do
        ends_well(name, environment)
      end
    end)
  end)

  it("is undone as often as it was done; once more is an error", run(function()
    local c = chan()
    go(function()
      lp.lockosthread()
      lp.lockosthread()
      lp.unlockosthread()
      lp.unlockosthread()
      c:send(fails(lp.unlockosthread))
    end)
    assert.matches("unlockosthread of a goroutine that is not locked to a thread", (c:recv()), 1, true)
  end))

  -- From now on each thread's stack shall be larger than the address space: there can be no other.
  it("is an error where no thread is left for the others", function()
    helper.withfile([[
      local ffi = require "ffi"
      ffi.cdef [=[
        typedef union { char bytes[64]; long align; } luapark_attr;
        int pthread_attr_init(luapark_attr *attr);
        int pthread_attr_setstacksize(luapark_attr *attr, size_t size);
        int pthread_setattr_default_np(const luapark_attr *attr);
      ]=]
      local lp = luapark
      local function stacksize(n)
        local attr = ffi.new "luapark_attr"
        assert(ffi.C.pthread_attr_init(attr) == 0)
        assert(ffi.C.pthread_attr_setstacksize(attr, n) == 0)
        assert(ffi.C.pthread_setattr_default_np(attr) == 0)
      end
      local function refused()
        local ok, err = pcall(lp.lockosthread)
        assert(not ok and err == "lockosthread where no thread is left for the others", err)
        assert(not pcall(lp.unlockosthread))
      end
      local wg = lp.waitgroup()
      stacksize(2 ^ 50)
      refused()
      for _ = 1, 5 do
        wg:go(function() refused() gosched() refused() end)
      end
      wg:wait()
      stacksize(2 ^ 20)
      lp.lockosthread()
      stacksize(2 ^ 50)
      lp.lockosthread()
      wg:go(refused)
      wg:wait()
      lp.unlockosthread()
      lp.unlockosthread()
      for _ = 1, 5 do -- that one thread serves all
        wg:go(function() lp.lockosthread() lp.unlockosthread() end)
      end
      wg:wait()
      print "ok"
    ]], function(name)
      ends_well(name, "LUAPARK_MAXPROCS=1")
      ends_well(name, "LUAPARK_MAXPROCS=1 LUAPARK_DEBUG=preempt")
    end)
  end)

  it("may end with the goroutine, which takes its thread along", run(function()
    local c = chan()
    for _ = 1, 50 do
      go(function()
        lp.lockosthread()
        lp.gosched()
        c:send(true)
      end)
    end
    for _ = 1, 50 do
      assert.is_true((c:recv()))
    end
  end))
end)
