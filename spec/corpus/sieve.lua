-- SPDX-License-Identifier: MIT

-- sieve: the prime sieve of Go's first tutorial, a filter for each prime.
--
-- Prints:
--   2 3 5 7 11 13 17 19 23 29
--   the 200th is 1223, the sum of all is 111587

local function count(out)
  local i = 2
  while true do
    out:send(i)
    i = i + 1
  end
end

local function filter(from, to, prime)
  for i in from do
    if i % prime ~= 0 then
      to:send(i)
    end
  end
end

local c, primes, sum = chan(), {}, 0
go(count, c)
for i = 1, 200 do
  local prime = c:recv()
  primes[i] = prime
  sum = sum + prime
  local next = chan()
  go(filter, c, next, prime)
  c = next
end
print(table.concat(primes, " ", 1, 10))
print(("the 200th is %d, the sum of all is %d"):format(primes[200], sum))
-- The filters are left where they wait: they could only wait for ever.
