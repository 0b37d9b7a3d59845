-- SPDX-License-Identifier: MIT

-- require_once: a module whose chunk waits while it is loaded, required by many goroutines at once: loaded once.
--
-- Prints:
--   loaded 1 time, 20 got the same table
--   and once more: the same

-- luacheck: globals loads

local lp = luapark

loads = 0
local wg, got = lp.waitgroup(), {}
for i = 1, 20 do
  wg:go(function() got[i] = require "spec.corpus.lib.slow" end)
end
wg:wait()
local same = 0
for i = 1, 20 do
  same = same + (type(got[i]) == "table" and got[i] == got[1] and 1 or 0)
end
print(("loaded %d time, %d got the same table"):format(loads, same))
print("and once more: " .. (require "spec.corpus.lib.slow" == got[1] and "the same" or "another"))
