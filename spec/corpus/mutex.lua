-- SPDX-License-Identifier: MIT

-- mutex: goroutines that share a table take turns at it, and wait while they hold the lock.
--
-- Prints:
--   balance 500, nobody saw another inside
--   trylock:	true	false	true
--   the lock went to 10 who waited for it

local lp = luapark

local m, wg = lp.mutex(), lp.waitgroup()
local account = { balance = 0, holder = false }
for i = 1, 20 do
  wg:go(function()
    for round = 1, 25 do
      m:lock()
      assert(not account.holder)
      account.holder = i
      local balance = account.balance
      if round % 5 == 0 then
        lp.sleep(0)
      else
        gosched()
      end
      account.balance = balance + 1
      assert(account.holder == i)
      account.holder = false
      m:unlock()
    end
  end)
end
wg:wait()
print(("balance %d, nobody saw another inside"):format(account.balance))

local first, second = m:trylock(), m:trylock()
m:unlock()
print("trylock:", first, second, m:trylock())

-- It is locked now; ten functions that share nothing else wait for it.
local turns = chan(10)
for i = 1, 10 do
  go(function()
    m:lock()
    turns:send(i)
    m:unlock()
  end)
end
gosched()
assert(turns:len() == 0)
m:unlock()
local seen, n = {}, 0
for _ = 1, 10 do
  local i = turns:recv()
  assert(not seen[i])
  seen[i] = true
  n = n + 1
end
print(("the lock went to %d who waited for it"):format(n))
