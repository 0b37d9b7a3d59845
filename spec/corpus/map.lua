-- SPDX-License-Identifier: MIT

-- map: one map on all Ps: counters that lose nothing, keys that are made once, walks while others change it.
--
-- Prints:
--   4000 words counted, the: 1200
--   each of 50 keys made by one of 12
--   cas: 1200
--   a queue of tables: 300, each once
--   walks: no key twice, none missed that stayed
--   cleared: 0

local lp = luapark

local m, wg = lp.map(), lp.waitgroup()
local TEXT = "the dog and the cat and the bird sing here "

local function count(map, text, done)
  for _ = 1, 40 do
    for word in text:gmatch "%a+" do
      map:add(word, 1)
    end
  end
  done:done()
end

wg:add(10)
for i = 1, 10 do
  (i % 2 == 0 and lp.spawn or go)(count, m, TEXT, wg)
end
wg:wait()
local words = 0
m:range(function(_, n) words = words + n end)
print(("%d words counted, the: %d"):format(words, (m:load "the")))

-- Who stores a key first has made it; all agree on who that was.
local makers = lp.map()
wg:add(12)
for id = 1, 12 do
  lp.spawn(function()
    local made = 0
    for k = 1, 50 do
      local actual, loaded = makers:loadorstore(k % 2 == 0 and k or "key " .. k, { by = id })
      if not loaded then
        made = made + 1
        assert(actual.by == id)
      end
      if k % 10 == 0 then
        gosched()
      end
    end
    makers:add("made", made)
    wg:done()
  end)
end
wg:wait()
assert(makers:loadanddelete "made" == 50)
assert(makers:len() == 50)
for _, v in makers:pairs() do
  assert(v.by >= 1 and v.by <= 12)
end
print "each of 50 keys made by one of 12"

-- Compare and swap, on a number and on a string.
m:store("n", 0)
m:store("s", "0")
wg:add(6)
for _ = 1, 6 do
  lp.spawn(function()
    for i = 1, 200 do
      local k = i % 2 == 0 and "n" or "s"
      local old
      repeat
        old = m:load(k)
      until m:cas(k, old, type(old) == "number" and old + 1 or tostring(tonumber(old) + 1))
    end
    wg:done()
  end)
end
wg:wait()
print("cas: " .. m:load "n" + tonumber((m:load "s")))

-- Tables are put at one end and taken at the other.
local queue, head, tail, taken = lp.map(), lp.atomic(), lp.atomic(), chan(300)
for id = 1, 3 do
  lp.spawn(function()
    for i = 1, 100 do
      queue:store(tail:add(1), { id = id, i = i })
    end
  end)
  lp.spawn(function()
    for _ = 1, 100 do
      local at = head:add(1)
      local v, ok = queue:loadanddelete(at)
      while not ok do
        gosched()
        v, ok = queue:loadanddelete(at)
      end
      taken:send(v)
    end
  end)
end
local seen, n = {}, 0
for _ = 1, 300 do
  local v = taken:recv()
  local key = v.id * 1000 + v.i
  assert(not seen[key])
  seen[key] = true
  n = n + 1
end
assert(queue:len() == 0)
print(("a queue of tables: %d, each once"):format(n))

-- Even keys stay, odd ones come and go.
local stop, walked = lp.atomic(), lp.map()
for i = 1, 200 do
  walked:store(2 * i, "stays")
end
wg:add(3)
for id = 1, 3 do
  lp.spawn(function()
    local i = id
    repeat
      for _ = 1, 10 do
        i = (i * 7 + 1) % 200
        walked:store(2 * i + 1, { i })
        walked:delete(2 * ((i * 3) % 200) + 1)
      end
      gosched()
    until stop:load() == 1
    wg:done()
  end)
end
for _ = 1, 20 do
  local met, stayed = {}, 0
  for k, v in walked:pairs() do
    assert(not met[k], "a key twice")
    met[k] = true
    if v == "stays" then
      stayed = stayed + 1
    end
    if stayed % 50 == 0 then
      gosched()
    end
  end
  assert(stayed == 200)
end
stop:store(1)
wg:wait()
print "walks: no key twice, none missed that stayed"

wg:add(4)
for id = 1, 4 do
  lp.spawn(function()
    for i = 1, 100 do
      m:store(id * 1000 + i, { i })
      if i % 25 == 0 then
        m:clear()
      end
    end
    m:clear()
    wg:done()
  end)
end
wg:wait()
m:clear()
print("cleared: " .. m:len())
