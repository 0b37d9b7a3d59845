-- SPDX-License-Identifier: MIT

-- spawn_globals: spawn copies the globals that the function names, and those that these name; a goroutine's copies are
-- its own.
--
-- Prints:
--   theirs: 12 changed by change
--   ours: 10 as it was
--   20 of their own: 20 each, ours 10
--   a new global of theirs is none of ours: nil
--   changed on our side after that: 12
--   standard ones are theirs: 3 HELLO

-- luacheck: globals count config bump change fresh

local lp = luapark

local out, start = chan(), chan()

count = 10
config = { name = "as it was" }
function bump()
  count = count + 1
  return count
end
function change(what)
  config.name = what .. " by change"
end

lp.spawn(function()
  bump()
  bump()
  change "changed"
  out:send(("theirs: %d %s"):format(count, config.name))
end)
print((out:recv()))
print(("ours: %d %s"):format(count, config.name))

for _ = 1, 20 do
  lp.spawn(function()
    for _ = 1, 10 do
      bump()
      gosched()
    end
    out:send(count)
  end)
end
for _ = 1, 20 do
  assert(out:recv() == 20)
end
print("20 of their own: 20 each, ours " .. count)

lp.spawn(function()
  fresh = "new"
  out:send(fresh)
end)
assert(out:recv() == "new")
print("a new global of theirs is none of ours: " .. tostring(fresh))

lp.spawn(function()
  start:recv()
  bump()
  out:send(bump())
end)
count = 1000
start:send(true)
print("changed on our side after that: " .. out:recv())

lp.spawn(function() out:send(math.max(1, 3) .. " " .. ("hello"):upper()) end)
print("standard ones are theirs: " .. out:recv())
