-- SPDX-License-Identifier: MIT

-- neighbours: other people's C modules as the distribution has them, inside goroutines; in the executable and in a stock
-- luajit. Some call back into Lua, where a goroutine may wait; one blocks its thread.

local helper = require "spec.helper"

-- The program says ok, and nothing else; lp and net are there. Where busted runs in the executable it does this one, too.
local function works(module, text, preempt)
  if helper.sh("LUA_INIT= luajit -e 'require [[" .. module .. "]] print(1)' 2>&1") ~= "1\n" then
    pending(module .. " is not installed")
    return
  end
  text = "local lp, net = require 'luapark', require 'luapark.net'\nlp.run(function()\n" .. text .. "\nprint 'ok'\nend)"
  local environment = ("env LUAPARK_PREEMPT=%s LUAPARK_DEBUG=preempt LUAPARK_MAXPROCS=2 timeout 60 "):format(preempt or 1)
  helper.withfile(text, function(name)
    local command = helper.inexe and helper.quote(helper.exe) or helper.moduleenv .. "luajit"
    if not helper.inexe then
      command = "env " .. command
    end
    assert.same({ "ok\n", "", 0 }, { helper.sh(environment .. command .. " " .. name) })
  end)
end

describe("lua-cjson", function()
  it("encodes and decodes in many goroutines, on all Ps", function()
    works("cjson", [[
      local function check(n, i)
        local cjson = require "cjson"
        for k = 1, 20 do
          local text = cjson.encode { i = i, list = { 1, 2, k }, text = ("x"):rep(i) }
          lp.gosched()
          local t = cjson.decode(text)
          assert(t.i == i and t.list[3] == k and #t.text == i)
        end
        n:add(1)
      end
      local n, wg = lp.atomic(), lp.waitgroup()
      for i = 1, 100 do wg:go(check, n, i) end
      for i = 1, 100 do
        wg:add()
        lp.spawn(function() check(n, i) wg:done() end)
      end
      wg:wait()
      assert(n:load() == 200)
    ]])
  end)

  it("sends what it has made, but for its null, which is what it is", function()
    works("cjson", [[
      local cjson = require "cjson"
      local c = lp.chan(1)
      c:send(cjson.decode '{"a":[1,2,{"b":null}],"c":"text"}')
      local t = c:recv()
      assert(t.a[3].b == cjson.null and t.c == "text")
      lp.spawn(function() c:send(require "cjson".encode(t)) end)
      assert(cjson.decode((c:recv())).a[2] == 2)
    ]])
  end)
end)

describe("lpeg", function()
  it("may be waited in: in functions that a match calls, by many goroutines at once", function()
    works("lpeg", [[
      local lpeg = require "lpeg"
      local wg, c = lp.waitgroup(), lp.chan()
      wg:go(function() for i = 1, 50 * 11 do c:send(i) end end)
      for i = 1, 50 do
        wg:go(function()
          local seen = 0
          local word = lpeg.C(lpeg.R "az"^1) / function(w) lp.gosched() return w:upper() end
          local number = lpeg.Cmt(lpeg.C(lpeg.R "09"^1), function(_, at, digits) -- in the middle of the match
            c:recv()
            seen = seen + 1
            return at, tonumber(digits)
          end)
          local list = lpeg.Ct((word + number) * (" " * (word + number))^0)
          local t = list:match(("%d one "):format(i) .. ("7 "):rep(10) .. "end")
          assert(seen == 11 and t[1] == i and t[2] == "ONE" and t[3] == 7 and t[13] == "END" and #t == 13)
        end)
      end
      wg:wait()
    ]])
  end)

  it("raises errors through a match that has waited", function()
    works("lpeg", [[
      local lpeg = require "lpeg"
      for i = 1, 100 do
        local ok, e = pcall(lpeg.match, lpeg.Cmt(lpeg.P(1), function() lp.sleep(0.0001) error "inside" end), "x")
        assert(not ok and e:find "inside")
      end
    ]])
  end)
end)

describe("LuaSocket", function()
  it("without blocking, talks to luapark.net in other goroutines", function()
    works("socket", [[
      local socket = require "socket"
      local ln = assert(net.listen("tcp", "127.0.0.1:0"))
      lp.go(function()
        while true do
          local conn = ln:accept()
          if not conn then return end
          lp.go(function() for line in conn:lines() do conn:write(line:upper(), "\n") end conn:close() end)
        end
      end)
      local wg = lp.waitgroup()
      for i = 1, 10 do
        wg:go(function()
          local s = socket.tcp()
          s:settimeout(0)
          local port = tonumber(ln:addr():match "%d+$")
          local ok, e = s:connect("127.0.0.1", port)
          while not ok and e ~= "already connected" do
            lp.sleep(0.001)
            ok, e = s:connect("127.0.0.1", port)
          end
          assert(s:send("hello " .. i .. "\n"))
          local line, why, part = s:receive()
          while not line and why == "timeout" do
            lp.sleep(0.001)
            line, why, part = s:receive("*l", part)
          end
          assert(line == "HELLO " .. i)
          s:close()
        end)
      end
      wg:wait()
      ln:close()
    ]])
  end)

  it("blocks a P of its own, while the other goes on", function()
    works("socket", [[
      local ln = assert(net.listen("tcp", "127.0.0.1:0"))
      local answers, elsewhere = lp.chan(1), lp.atomic()
      lp.spawn(function(address, out, begun)
        begun:store(1)
        local socket = require "socket"
        local s = assert(socket.connect("127.0.0.1", tonumber(address:match "%d+$")))
        s:settimeout(30)
        s:send "ping\n"
        out:send(s:receive()) -- the thread waits here for the goroutine on the other P
        s:close()
      end, ln:addr(), answers, elsewhere)
      while elsewhere:load() == 0 do end -- this P is not to be had
      local conn = assert(ln:accept())
      assert(conn:read() == "ping")
      for _ = 1, 100 do lp.gosched() end
      conn:write "pong\n"
      assert(answers:recv() == "pong")
      conn:close()
      ln:close()
    ]], 0)
  end)

  it("has its own clock and addresses as ever", function()
    works("socket", [[
      local socket, url = require "socket", require "socket.url"
      local before = socket.gettime()
      lp.sleep(0.01)
      assert(socket.gettime() - before >= 0.009)
      assert(url.parse "http://host:80/path".port == "80")
    ]])
  end)
end)
