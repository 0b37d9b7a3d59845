-- SPDX-License-Identifier: MIT

-- point: a class whose objects may be sent. Its metatable says what the receiver is to require.

local point = { __module = "spec.corpus.lib.point" }
point.__index = point

function point.new(x, y)
  return setmetatable({ x = x, y = y }, point)
end

function point:length()
  return math.sqrt(self.x ^ 2 + self.y ^ 2)
end

function point:__tostring()
  return ("(%d, %d)"):format(self.x, self.y)
end

return point
