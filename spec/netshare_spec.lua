-- SPDX-License-Identifier: MIT

-- netshare: connections and listeners that goroutines on several Ps use.
--
-- Each program runs in a process of its own, with four Ps (helper.prints).

local helper = require "spec.helper"

local HEAD = [[
local net = require "luapark.net"
local LIMIT = 20 -- seconds after which an operation that should have ended is a failure, not a hang
-- How many sockets are open.
local function nsockets()
  local ls = io.popen "ls -l /proc/$PPID/fd | grep -c socket:"
  local n = ls:read "*n"
  ls:close()
  return n
end
local function listen()
  local ln = assert(net.listen("tcp", "127.0.0.1:0"))
  ln:settimeout(LIMIT)
  return ln
end
-- Both ends of a connection.
local function pair(ln)
  local l = ln or listen()
  local a = assert(net.dial("tcp", l:addr()))
  local b = assert(l:accept())
  a:settimeout(LIMIT)
  b:settimeout(LIMIT)
  if not ln then l:close() end
  return a, b
end
local function shut(...)
  for i = 1, select("#", ...) do
    select(i, ...):close()
  end
end
]]

local function prints(want, text)
  helper.prints(want, text, HEAD)
end

describe("a connection's handle", function()
  it("is the same table each time in a state, and another one works elsewhere", function()
    prints("true\ttrue\ttrue\nfrom there\ntrue\n", [[
      local a, b = pair()
      local names = { [a] = true }
      local there, back = chan(), chan()
      elsewhere(function()
        local t = there:recv()
        t.conn:write "from there\n"
        back:send { t.conn, t.conn, t = t }
      end)
      there:send { conn = a }
      local r = back:recv()
      print(r[1] == a and r[2] == a, r.t.conn == a and r.t ~= nil, names[r[1] ] == true)
      print(b:read())
      print(tostring(a) == tostring(r[1]))
      shut(a, b)
    ]])
  end)

  it("goes through a channel of its own P as it is", function()
    prints("true\tx\n", [[
      local a, b = pair()
      local c = chan(1)
      c:send { a }
      local same = c:recv()[1]
      b:write "x\n"
      print(same == a, same:read())
      shut(a, b)
    ]])
  end)

  it("is an upvalue or argument of a portable function, moved by stealing", function()
    prints("true\n64\ttrue\n", [[
      local ln, N = listen(), 64
      local done, addr = chan(N), ln:addr()
      local function handle(conn)
        local f = assert(io.open "/proc/thread-self/stat")
        local id = tonumber(f:read "*l":match "^%d+")
        f:close()
        local line, x = conn:read(), 0
        for i = 1, 3e6 do x = x + i % 7 end
        conn:write(line:upper(), "\n")
        conn:close()
        done:send(id)
      end
      print(lp.portable(handle))
      local clients, accepted = {}, {}
      for i = 1, N do
        clients[i] = assert(net.dial("tcp", addr))
        clients[i]:settimeout(LIMIT)
        clients[i]:write("hello ", i, "\n")
        accepted[i] = assert(ln:accept())
      end
      for i = 1, N do go(handle, accepted[i]) end
      local ids, nids, good = {}, 0, 0
      for _ = 1, N do
        local id = done:recv()
        nids = nids + (ids[id] and 0 or 1)
        ids[id] = true
      end
      for i = 1, N do
        good = good + (clients[i]:read() == "HELLO " .. i and 1 or 0)
        clients[i]:close()
      end
      print(good, nids > 1)
      ln:close()
    ]])
  end)

  it("is as closed for a finalizer that comes after its own", function()
    prints("nil\tclosed\tEBADF\n", [[
      local got
      local function leave()
        local p = newproxy(true) -- before the connection: finalizers go in the reverse order
        local a, b = pair()
        b:close()
        getmetatable(p).__gc = function() got = { a:read() } end
      end
      leave()
      collectgarbage()
      collectgarbage()
      print(unpack(got, 1, 3))
    ]])
  end)
end)

describe("goroutines on two Ps", function()
  it("serve connections that one has accepted", function()
    prints("200\n", [[
      local ln, N = listen(), 200
      go(function()
        for i = 1, N do
          local serve = function(conn)
            for line in conn:lines() do
              conn:write(line:upper(), "\n")
            end
            conn:close()
          end
          local conn = assert(ln:accept())
          if i % 50 == 0 then elsewhere(serve, conn) else spawn(serve, conn) end
        end
      end)
      local good, wg, addr = 0, lp.waitgroup(), ln:addr()
      for k = 1, 8 do
        wg:go(function()
          for i = k, N, 8 do
            local c = assert(net.dial("tcp", addr))
            c:settimeout(LIMIT)
            local ok = true
            for j = 1, 5 do
              c:write("line ", i, " ", j, "\n")
              ok = ok and c:read() == ("LINE %d %d"):format(i, j)
            end
            good = good + (ok and 1 or 0)
            c:close()
          end
        end)
      end
      wg:wait()
      ln:close()
      print(good)
    ]])
  end)

  it("read and write one connection at the same time", function()
    prints("8000000\ttrue\n8000000\n8000000\n", [[
      local a, b = pair()
      local N, out = 8000000, chan(2)
      elsewhere(function() out:send(a:write(("x"):rep(N))) end)
      elsewhere(function() -- echoes
        local n = 0
        while n < N do
          local s = assert(b:readany())
          n = n + assert(b:write(s))
        end
        out:send(n)
      end)
      local s = a:read(N)
      print(#s, s == ("x"):rep(N))
      print((out:recv()))
      print((out:recv()))
      shut(a, b)
    ]])
  end)

  it("cannot wait for the same, and the first goes on", function()
    prints("nil EBUSY\nline nil\nnil EBUSY\ntrue nil\n", [[
      local a, b = pair()
      local out = chan(2)
      for _ = 1, 2 do
        elsewhere(function()
          local s, _, code = a:read()
          out:send(tostring(s) .. " " .. tostring(code))
        end)
      end
      print((out:recv()))
      b:write "line\n"
      print((out:recv()))
      local ln = listen()
      for _ = 1, 2 do
        elsewhere(function()
          local c, _, code = ln:accept()
          out:send(tostring(c and true) .. " " .. tostring(code))
        end)
      end
      print((out:recv()))
      local c = assert(net.dial("tcp", ln:addr()))
      print((out:recv()))
      shut(a, b, c, ln)
    ]])
  end)

  it("take turns in reading, and what one leaves in the buffer the other finds", function()
    prints("1000\ttrue\n", [[
      local a, b = pair()
      local turn, n, good = chan(), 0, true
      elsewhere(function()
        for c in turn do
          local line = c:read()
          turn:send(line)
        end
      end)
      local text = {}
      for i = 1, 1000 do text[i] = "line " .. i .. "\n" end
      b:write(table.concat(text))
      for i = 1, 1000, 2 do
        good = good and a:read() == "line " .. i
        turn:send(a)
        good = good and turn:recv() == "line " .. i + 1
        n = n + 2
      end
      turn:close()
      print(n, good)
      shut(a, b)
    ]])
  end)

  it("share the time-out", function()
    prints("timeout ETIMEDOUT\ntimeout ETIMEDOUT\n", [[
      local a, b = pair()
      local out = chan()
      a:settimeout(0.02)
      elsewhere(function()
        local _, message, code = a:read()
        b:settimeout(0.01)
        out:send(message .. " " .. code)
      end)
      print((out:recv()))
      local _, message, code = b:read()
      print(message .. " " .. code)
      shut(a, b)
    ]])
  end)

  it("see the end of the other side's output, and may go on writing", function()
    prints("nil\tclosed\tEOF\nanswer\n", [[
      local a, b = pair()
      elsewhere(function() a:closewrite() end)
      print(b:read())
      elsewhere(function() b:write "answer\n" end)
      print(a:read())
      shut(a, b)
    ]])
  end)
end)

describe("close", function()
  it("wakes who waits on another P", function()
    prints(("closed EBADF\n"):rep(4), [[
      local out = chan(4)
      local function tell(_, message, code) out:send(message .. " " .. code) end
      local a, b = pair()
      elsewhere(function() tell(a:read()) end)
      elsewhere(function() tell(a:write(("x"):rep(3e7))) end)
      local ln = listen()
      elsewhere(function() tell(ln:accept()) end)
      lp.sleep(0.05)
      shut(a, ln)
      for _ = 1, 3 do print((out:recv())) end
      elsewhere(function()
        lp.sleep(0.02)
        b:close()
      end)
      b:read "*a" -- what a has written
      local _, message, code = b:read()
      print(code == "EBADF" and message .. " " .. code or "closed EBADF")
    ]])
  end)

  it("may be called on all sides at once, and all know it", function()
    prints("closed closed closed\n", [[
      local a, b = pair()
      local out = chan(3)
      for _ = 1, 3 do
        spawn(function()
          a:close()
          a:close()
          out:send((select(2, a:read())))
        end)
      end
      print(out:recv() .. " " .. out:recv() .. " " .. out:recv())
      b:close()
    ]])
  end)

  it("of a listener frees its port, though another P watches it", function()
    prints("closed\ntrue\n", [[
      local ln, out = listen(), chan()
      local addr = ln:addr()
      elsewhere(function()
        local _, message = ln:accept()
        out:send(message)
      end)
      lp.sleep(0.02)
      ln:close()
      local again = net.listen("tcp", addr)
      print((out:recv()))
      print(again ~= nil)
      again:close()
    ]])
  end)

  it("at random moments leaves nothing open", function()
    prints("1000\ttrue\n", [[
      local ln, N = listen(), 1000
      local before, wg = nsockets(), lp.waitgroup()
      local function use(conn, how)
        if how % 3 == 0 then conn:read() elseif how % 3 == 1 then conn:write(("x"):rep(how * 1000)) end
        if how % 2 == 0 then conn:close() end
        wg:done()
      end
      local function finish(conn, ms)
        if ms > 0 then lp.sleep(ms / 1000) end
        conn:close()
        wg:done()
      end
      for i = 1, N do
        local a, b = pair(ln)
        wg:add(4)
        spawn(use, a, math.random(0, 11))
        spawn(use, b, math.random(0, 11))
        spawn(finish, a, math.random(0, 3))
        spawn(finish, b, math.random(0, 3))
        if i % 50 == 0 then wg:wait() end
      end
      wg:wait()
      print(N, eventually(function() return nsockets() <= before end))
      ln:close()
    ]])
  end)

  it("comes of itself when the last handle is collected, on whatever P", function()
    prints("nil\tclosed\tEOF\nnil\tclosed\tEOF\n", [[
      local back = chan()
      local function use(c) -- here and there are loops that watch it
        local conn = c:recv()
        conn:settimeout(0.001)
        conn:read()
      end
      for round = 1, 2 do
        local c = chan()
        local other
        do
          local a, b = pair()
          other = b
          a:settimeout(0.001)
          a:read()
          elsewhere(function(use, c)
            use(c)
            if round == 1 then
              collectgarbage()
              collectgarbage()
            end
            back:send(true)
            c:recv()
            collectgarbage()
            collectgarbage()
            back:send(true)
          end, use, c)
          c:send(a)
          back:recv()
          if round == 2 then
            a = nil
            collectgarbage()
            collectgarbage()
          end
          c:send(true)
        end
        back:recv()
        go(function() end)
        lp.gosched()
        collectgarbage()
        collectgarbage()
        print(other:read())
        other:close()
      end
    ]])
  end)

  it("waits for no P that is gone", function()
    prints("1\ntrue\n", [[
      local before, out = nsockets(), chan()
      local a, b = pair()
      for _ = 1, 3 do
        elsewhere(function()
          a:settimeout(0.001)
          a:read()
          out:send(true)
        end)
        out:recv()
      end
      lp.gomaxprocs(1)
      lp.sleep(0.05)
      shut(a, b)
      print(lp.gomaxprocs())
      print(eventually(function() return nsockets() <= before end))
    ]])
  end)
end)
