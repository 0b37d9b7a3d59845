-- SPDX-License-Identifier: MIT

-- onerror: errors that no goroutine catches end the program, unless a function is told of them and says that they are
-- handled. Here it starts jobs anew that have failed, and gives up after the third time. Wherever a job runs, the function
-- runs here, and may use what is here.
--
-- Prints:
--   job 3: no such thing (tried 3 times)
--   job 7: no such thing (tried 3 times)
--   8 of 10 jobs are done

local lp = luapark
local done, all = lp.atomic(), lp.waitgroup()
local givenup = {}

local function job(n, try)
  if n % 4 == 3 then
    error { job = n, try = try, why = "no such thing" }
  end
  done:add(1)
end

lp.onerror(function(g, err, traceback) -- luacheck: ignore
  if type(err) ~= "table" or not err.job then
    return false -- it is none of ours: the usual report, and the end
  elseif err.try < 3 then
    all:go(job, err.job, err.try + 1)
  else
    givenup[#givenup + 1] = ("job %d: %s (tried %d times)"):format(err.job, err.why, err.try)
  end
  return true
end)

for n = 1, 10 do
  all:go(job, n, 1)
end
all:wait() -- a job that has failed counts as ended when the function has returned

table.sort(givenup)
print(table.concat(givenup, "\n"))
print(("%d of 10 jobs are done"):format(done:load()))
