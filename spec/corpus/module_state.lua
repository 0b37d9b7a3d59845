-- SPDX-License-Identifier: MIT

-- module_state: a module's private state is one, for the script and for all goroutines that go() started.
--
-- Prints:
--   100 counted
--   the parent's are among them: 110
--   by a function taken out of it: 120
--   a new field is seen: yes

local counter = require "spec.corpus.lib.counter"
local next = counter.next

local wg = luapark.waitgroup()
for i = 1, 100 do
  if i % 2 == 0 then
    wg:go(function() counter.next() end)
  else
    wg:go(function()
      gosched()
      require "spec.corpus.lib.counter".next()
    end)
  end
end
wg:wait()
print(counter.value() .. " counted")

for _ = 1, 10 do
  counter.next()
end
print("the parent's are among them: " .. counter.value())
for _ = 1, 10 do
  wg:go(next)
end
wg:wait()
print("by a function taken out of it: " .. counter.value())

local seen
local start = chan()
wg:go(function()
  start:recv()
  seen = counter.field
end)
counter.field = "yes"
start:send(true)
wg:wait()
print("a new field is seen: " .. seen)
