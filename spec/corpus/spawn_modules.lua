-- SPDX-License-Identifier: MIT

-- spawn_modules: a spawned goroutine requires the modules anew that its function names, and finds its own in them.
--
-- Prints:
--   by upvalue: 5 (6, 8)
--   by a function of it: (1, 2)
--   by require: 13
--   its metatable is the module there: true
--   it comes back as the module's object here: true 10
--   standard modules: true 3

local lp = luapark

local point = require "spec.corpus.lib.point"
local new = point.new

local out = chan()

lp.spawn(function()
  local p = point.new(3, 4)
  out:send(("by upvalue: %d %s"):format(p:length(), tostring(point.new(6, 8))))
end)
print((out:recv()))

lp.spawn(function() out:send("by a function of it: " .. tostring(new(1, 2))) end)
print((out:recv()))

lp.spawn(function() out:send(require "spec.corpus.lib.point".new(5, 12):length()) end)
print("by require: " .. out:recv())

lp.spawn(function(p)
  out:send(getmetatable(p) == point and getmetatable(p) == require "spec.corpus.lib.point")
end, new(1, 1))
print("its metatable is the module there: " .. tostring((out:recv())))

lp.spawn(function() out:send(point.new(6, 8)) end)
local p = out:recv()
print(("it comes back as the module's object here: %s %d"):format(tostring(getmetatable(p) == point), p:length()))

local ffi, bit = require "ffi", require "bit"
lp.spawn(function() out:send(tostring(ffi.sizeof "int64_t" == 8) .. " " .. bit.bor(1, 2)) end)
print("standard modules: " .. out:recv())
