-- SPDX-License-Identifier: MIT

-- workers: a pool of workers between a channel of jobs and one of results. Each job is done once, whoever does it.
--
-- Prints:
--   300 jobs, 300 results, each once
--   sum of squares 9045050

local lp = luapark
local WORKERS, JOBS = 7, 300

local jobs, results, busy = chan(10), chan(), lp.waitgroup()

local function work()
  for job in jobs do
    if job % 50 == 0 then
      lp.sleep(0.001)
    elseif job % 3 == 0 then
      gosched()
    end
    results:send { job = job, square = job * job }
  end
end

for _ = 1, WORKERS do
  busy:go(work)
end
go(function()
  for job = 1, JOBS do
    jobs:send(job)
  end
  jobs:close()
  busy:wait()
  results:close()
end)

local done, n, sum = {}, 0, 0
for r in results do
  assert(not done[r.job], "twice")
  done[r.job] = true
  n, sum = n + 1, sum + r.square
end
print(("%d jobs, %d results, each once"):format(JOBS, n))
print("sum of squares " .. sum)
