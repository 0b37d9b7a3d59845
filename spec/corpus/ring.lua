-- SPDX-License-Identifier: MIT

-- ring: a thousand goroutines in a ring hand a token round, and each adds one.
--
-- Prints:
--   3000 after three rounds
--   four tokens: 2000 2001 2002 2003

local N = 1000

local function member(from, to)
  for token in from do
    to:send(token + 1)
  end
end

local function ring(capacity)
  local first = chan(capacity)
  local last = first
  for _ = 1, N do
    local next = chan(capacity)
    go(member, last, next)
    last = next
  end
  return first, last
end

local first, last = ring(0)
local token = 0
for _ = 1, 3 do
  first:send(token)
  token = last:recv()
end
print(token .. " after three rounds")

first, last = ring(4)
for t = 0, 3 do
  first:send(t)
end
for _ = 1, 4 do
  first:send((last:recv()))
end
local tokens = {}
for i = 1, 4 do
  tokens[i] = last:recv()
end
print("four tokens: " .. table.concat(tokens, " "))
