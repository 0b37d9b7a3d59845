-- SPDX-License-Identifier: MIT

-- objects: a table with a metatable is sent if the metatable says which module it is; the receiver gets that module's.
--
-- Prints:
--   3-4-5
--   (6, 8) of length 10
--   the metatable is the module's: true
--   a metatable that does not say is refused

local point = require "spec.corpus.lib.point"

local function measure(from, to)
  local p = from:recv()
  to:send(("%d-%d-%d"):format(p.x, p.y, p:length()))
  p.x, p.y = 2 * p.x, 2 * p.y
  to:send(p)
end

local c, out = chan(), chan()
go(measure, c, out)
c:send(point.new(3, 4))
print((out:recv()))
local p = out:recv()
print(("%s of length %d"):format(tostring(p), p:length()))
print("the metatable is the module's: " .. tostring(getmetatable(p) == point))

local ok, e = pcall(function()
  chan(1):send { inner = setmetatable({}, { __index = function() end }) }
end)
assert(not ok and e:find("cannot send", 1, true) and e:find("value.inner", 1, true) and e:find "metatable", e)
print "a metatable that does not say is refused"
