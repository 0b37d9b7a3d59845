-- SPDX-License-Identifier: MIT

-- pipeline: a source, workers that share its output, and a sink; ended by closing channels, stopped by select.
--
--   source -> jobs -> 4 workers -> results -> sink
--
-- A wait group tells when the last worker is done; only then may the results be closed. In the second half the sink has
-- had enough after three results: it closes `quit`, and a select in the source and in each worker hears of it. So
-- nobody is left behind.
--
-- Prints:
--   longest Collatz chain below 10000: 6171 with 261 steps
--   stopped early: 3 results
--   1 goroutine left

local lp = luapark

local function collatz(n)
  local steps = 0
  while n ~= 1 do
    n = n % 2 == 0 and n / 2 or 3 * n + 1
    steps = steps + 1
  end
  return steps
end

-- Starts the pipeline on 1 to n. Ends when all is done, or when quit is closed. -> results, the wait group of all
local function start(n, quit)
  local jobs, results = chan(16), chan(16)
  local workers, all = lp.waitgroup(), lp.waitgroup()

  all:go(function()
    for i = 1, n do
      if lp.select { { jobs, send = i }, quit } == 2 then
        break
      end
    end
    jobs:close()
  end)

  for _ = 1, 4 do
    workers:go(function()
      for i in jobs do
        if lp.select { { results, send = { n = i, steps = collatz(i) } }, quit } == 2 then
          return
        end
      end
    end)
  end

  all:go(function()
    workers:wait()
    results:close()
  end)
  return results, all
end

local results = start(9999, chan()) -- a quit that nobody closes
local longest = { n = 0, steps = -1 }
for result in results do
  if result.steps > longest.steps then
    longest = result
  end
end
print(("longest Collatz chain below 10000: %d with %d steps"):format(longest.n, longest.steps))

local quit, seen = chan(), 0
local some, all = start(1e9, quit)
for _ in some do
  seen = seen + 1
  if seen == 3 then
    quit:close()
    break
  end
end
all:wait()
print(("stopped early: %d results"):format(seen))
repeat gosched() until lp.numgoroutine() == 1 -- who said done last may have some steps to go, on another P
print(lp.numgoroutine() .. " goroutine left")
