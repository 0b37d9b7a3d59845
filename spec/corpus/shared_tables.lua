-- SPDX-License-Identifier: MIT

-- shared_tables: goroutines that share a table, an upvalue or an argument, with their parent: one table, no copies.
--
-- Prints:
--   by upvalue: 100
--   by argument: 100
--   by a method: 100
--   through a function: 100
--   found in a table: 100
--   its identity: true true
--   the parent's changes are seen: 2 words
--   a weak table, a metatable: 3 indexed

local lp = luapark

local wg, t = lp.waitgroup(), { n = 0 }
for _ = 1, 100 do
  wg:go(function() t.n = t.n + 1 end)
end
wg:wait()
print("by upvalue: " .. t.n)

local function count(counter, by)
  gosched()
  counter.n = counter.n + by
end
local u = { n = 0 }
for _ = 1, 50 do
  wg:go(count, u, 2)
end
wg:wait()
print("by argument: " .. u.n)

local object = { n = 0 }
function object:inc() self.n = self.n + 1 end
for i = 1, 100 do
  if i % 2 == 0 then
    wg:go(object.inc, object)
  else
    wg:go(function() object:inc() end)
  end
end
wg:wait()
print("by a method: " .. object.n)

local log = {}
local function write(line) log[#log + 1] = line end
local function report(i) write("line " .. i) end
for i = 1, 100 do
  wg:go(report, i)
end
wg:wait()
print("through a function: " .. #log)

local registry = { handlers = { count = 0 } }
for _ = 1, 100 do
  wg:go(function()
    local handlers = registry.handlers
    handlers.count = handlers.count + 1
  end)
end
wg:wait()
print("found in a table: " .. registry.handlers.count)

local seen = {}
wg:go(function(arg) seen[1], seen[2] = arg, registry end, registry)
wg:wait()
print("its identity: " .. tostring(seen[1] == registry) .. " " .. tostring(seen[2] == registry))

local words, said = {}, nil
local start = chan()
wg:go(function()
  start:recv()
  said = #words .. " words"
end)
words[1], words[2] = "one", "two"
start:send(true)
wg:wait()
print("the parent's changes are seen: " .. said)

local indexed = 0
local lazy = setmetatable({}, { __mode = "k", __index = function(self, k)
  indexed = indexed + 1
  gosched()
  rawset(self, k, k)
  return k
end })
for k = 1, 3 do
  wg:go(function() assert(lazy[k] == k) end)
end
wg:wait()
print(("a weak table, a metatable: %d indexed"):format(indexed))
