-- SPDX-License-Identifier: MIT

-- errors: what fails in a goroutine and is caught there, across waits: messages name the script's lines, wherever it ran.
--
-- Prints:
--   spec/corpus/errors.lua:21: boom
--   spec/corpus/errors.lua:30: attempt to index local 't' (a nil value)
--   without a position
--   an object of its own: true
--   nested: outer(inner)
--   xpcall: spec/corpus/errors.lua:21: boom; in function 'fails'; errors.lua:65
--   40 of 40 caught across a wait
--   a failed send, a failed close: send on closed channel, close of closed channel
--   error thrown by a caller's callback: level 2 is spec/corpus/errors.lua:104

local lp = luapark

local out = chan()
local function fails()
  gosched()
  error "boom"
end

go(function() out:send((select(2, pcall(fails)))) end)
print((out:recv()))

go(function()
  local function index(t)
    lp.sleep(0)
    return t.x
  end
  out:send((select(2, pcall(index, nil))))
end)
print((out:recv()))

go(function() out:send((select(2, pcall(error, "without a position", 0)))) end)
print((out:recv()))

go(function()
  local object = {}
  local ok, e = pcall(function()
    gosched()
    error(object)
  end)
  out:send(not ok and e == object)
end)
print("an object of its own: " .. tostring((out:recv())))

go(function()
  local _, e = pcall(function()
    local _, inner = pcall(function()
      gosched()
      error("inner", 0)
    end)
    gosched()
    error("outer(" .. inner .. ")", 0)
  end)
  out:send(e)
end)
print("nested: " .. out:recv())

-- The traceback has function names and lines, as the script has them.
go(function()
  local _, e = xpcall(function()
    fails()
    return nil
  end, function(e)
    local trace = lp.stack()
    return ("%s; %s; %s"):format(e, trace:match "in function 'fails'", trace:match "errors.lua:65")
  end)
  out:send(e)
end)
print("xpcall: " .. out:recv())

for i = 1, 40 do
  go(function()
    local ok, e = pcall(function()
      for k = 1, i do
        gosched()
        if k == i then
          error(("%d"):format(k), 0)
        end
      end
    end)
    out:send(not ok and tonumber(e) == i)
  end)
end
local n = 0
for _ = 1, 40 do
  n = n + (out:recv() and 1 or 0)
end
print(("%d of 40 caught across a wait"):format(n))

go(function()
  local c = chan()
  c:close()
  local _, send = pcall(function() c:send(1) end)
  local _, close = pcall(function() c:close() end)
  out:send(("%s, %s"):format(send:match "send on closed channel", close:match "close of closed channel"))
end)
print("a failed send, a failed close: " .. out:recv())

go(function()
  local function strict(callback) callback() end
  local _, e = pcall(function()
    strict(function() error("level 2", 2) end)
  end)
  out:send((e:gsub("^(.*): level 2$", "level 2 is %1")))
end)
print("error thrown by a caller's callback: " .. out:recv())
