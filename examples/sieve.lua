-- SPDX-License-Identifier: MIT

-- sieve: prime numbers from a chain of goroutines, one for each prime found (after Hoare and McIlroy).
--
--   generate -> filter 2 -> filter 3 -> filter 5 -> ...
--
-- When the main chunk is done the chain is still there, each link waiting to send. Goroutines that could only wait for
-- ever do not keep a program from ending.
--
-- Prints:
--   2 3 5 7 11 13 17 19 23 29
--   the 500th prime is 3571
--   502 goroutines

local COUNT = 500

local function generate(out)
  local n = 2
  while true do
    out:send(n)
    n = n + 1
  end
end

local function filter(prime, from, to)
  for n in from do
    if n % prime ~= 0 then
      to:send(n)
    end
  end
end

local numbers = chan()
go(generate, numbers)

local primes = {}
for i = 1, COUNT do
  local prime = numbers:recv()
  primes[i] = prime
  local rest = chan()
  go(filter, prime, numbers, rest)
  numbers = rest
end

print(table.concat(primes, " ", 1, 10))
print(("the %dth prime is %d"):format(COUNT, primes[COUNT]))
print(luapark.numgoroutine() .. " goroutines") -- a generator, the filters, and the main one
