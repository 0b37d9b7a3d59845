-- SPDX-License-Identifier: MIT

-- counter: a module with private state.

local counter, n = {}, 0

function counter.next()
  n = n + 1
  return n
end

function counter.value()
  return n
end

return counter
