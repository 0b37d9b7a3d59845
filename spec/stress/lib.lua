-- SPDX-License-Identifier: MIT

-- lib: what the stress programs share. Each of them runs rounds until its time is over:
--
--   luapark spec/stress/NAME.lua [SECONDS [SEED]]
--
-- A round is made by a seed, and the next one by the next. While it runs, the main goroutine is parked, and its wait reason
-- is the seed: what lists goroutines (a deadlock, SIGQUIT) names it. Same seed, same round; what the scheduler makes of it
-- is another matter. Prints "ok" and what was counted.

local lp = require "luapark"

local lib = {}

-- random(seed) -> function(n): a whole number from 1 to n. Park and Miller's generator. Portable.
function lib.random(seed)
  local x = (seed * 48271 + 12345) % 2147483647
  return function(n)
    x = x * 16807 % 2147483647
    return x % n + 1
  end
end

-- start(mode, fn, ...): by plain go, as a goroutine that may move (1); at home (2), since it shares a table; by spawn (3).
-- fn must be portable for all of them to be what they are meant to be.
function lib.start(mode, fn, ...)
  if mode == 1 then
    return lp.go(fn, ...)
  elseif mode == 2 then
    local home = {}
    return lp.go(function(...)
      home.runs = (home.runs or 0) + 1
      return fn(...)
    end, ...)
  end
  return lp.spawn(fn, ...)
end

-- Does something that takes time, chosen by random: nothing, a turn, a sleep, waits under C functions, garbage.
function lib.dawdle(random)
  local what = random(24)
  if what == 1 then
    lp.sleep(random(100) / 1e6)
  elseif what == 2 then
    table.sort({ 3, 1, 2 }, function(a, b)
      lp.gosched()
      return a < b
    end)
  elseif what == 3 then
    local s = ("ab"):gsub("%w", function(c)
      lp.gosched()
      return c .. c
    end)
    assert(s == "aabb")
  elseif what == 4 then
    local ok, e = pcall(function()
      lp.gosched()
      error "thrown"
    end)
    assert(not ok and e:find "thrown$")
  elseif what == 5 then
    local t = {}
    for i = 1, 200 do
      t[i] = { i }
    end
    assert(#t == 200)
  elseif what <= 10 then
    lp.gosched()
  end
end

-- Every one of `n` things exactly once: list is a list of lists of their numbers.
function lib.once(list, n, what)
  local seen, count = {}, 0
  for _, part in ipairs(list) do
    for _, v in ipairs(part) do
      if seen[v] then
        error(("%s %s came twice"):format(what, tostring(v)), 2)
      end
      seen[v], count = true, count + 1
    end
  end
  if count ~= n then
    error(("%d of %d %ss came"):format(count, n, what), 2)
  end
end

-- rounds(round): round(seed, random) returns how much it did, by name: { messages = 100 }. When it returns, no goroutine
-- of it may be left.
function lib.rounds(round)
  local seconds, seed = tonumber(arg[1]) or 1, tonumber(arg[2]) or os.time() % 1e6
  local stop, n, total = lp.now() + seconds, 0, {}
  repeat
    local left = lp.numgoroutine()
    local did, why
    lp.gopark(function(main)
      lp.go(function()
        local ok, e = xpcall(function() did = round(seed, lib.random(seed)) end, function(e)
          return tostring(e) .. "\n" .. lp.stack()
        end)
        why = not ok and e
        lp.goready(main)
      end)
    end, nil, "round of seed " .. seed)
    if why then
      io.stderr:write(("seed %d failed: %s\n"):format(seed, why))
      os.exit(1)
    end
    for _ = 1, 1e6 do
      if lp.numgoroutine() == left then
        break
      end
      lp.gosched()
    end
    if lp.numgoroutine() ~= left then
      io.stderr:write(("seed %d left goroutines behind:\n%s\n"):format(seed, lp.stack(true)))
      os.exit(1)
    end
    for what, count in pairs(did) do
      total[what] = (total[what] or 0) + count
    end
    seed, n = seed + 1, n + 1
  until lp.now() >= stop
  local words = { ("%d rounds"):format(n) }
  for what, count in pairs(total) do
    words[#words + 1] = ("%d %s"):format(count, what)
  end
  table.sort(words)
  print("ok: " .. table.concat(words, ", "))
end

return lib
