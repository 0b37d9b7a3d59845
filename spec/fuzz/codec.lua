-- SPDX-License-Identifier: MIT

-- spec/fuzz/codec.lua [ROUNDS [SEED]]: bytes that no encoder wrote, for the decoder.
--
-- Each round takes a valid message, changes some of its bytes, cuts it, doubles a piece of it, or writes random bytes
-- instead, and unpacks what came of it. Either there are values, or one of a few errors; never anything else. What the
-- values are does not matter: they are looked through and forgotten. Prints nothing when all is well.

local core = require "luapark.core"

local random, char, floor = math.random, string.char, math.floor

-- Messages with one of everything.
local function samples()
  local shared = { 1, 2, 3 }
  local cycle = { a = { b = {} } }
  cycle.a.b.c = cycle
  local long, huge = ("long"):rep(40), ("huge"):rep(10000)
  local function leaf(x) return x + 1 end
  local function fn(x) return leaf(x), math.sqrt(x), long end
  local count = 0
  local function inc() count = count + 1 return shared end
  local function get() return count, inc, cycle end
  local function packed(...) return assert(core.pack(...)) end
  return {
    packed("share", 1, -1, 1e300, -0.0, 0 / 0, 2 ^ 53, "s", nil, true, false),
    packed("share", { shared, shared, cycle, [long] = huge, [shared] = long, [2.5] = -3 }),
    packed("share", 5LL, 6ULL, print, math, string.format, io.stdout),
    packed("move", fn, 32, long, leaf),
    packed("share", { fn, leaf, { fn } }),
    packed("copy", get, shared, { inc, cycle }),
    packed("copy", fn, fn, huge),
  }
end

local function mutate(s)
  local kind, n = random(6), #s
  if kind == 1 then -- random bytes
    local t = {}
    for i = 1, random(0, 60) do
      t[i] = char(random(0, 255))
    end
    return table.concat(t)
  elseif kind == 2 then -- cut
    return s:sub(1, random(0, n))
  elseif kind == 3 then -- a piece twice, or left out
    local from = random(n)
    local to = math.min(n, from + random(0, 8))
    return random(2) == 1 and s:sub(1, to) .. s:sub(from) or s:sub(1, from - 1) .. s:sub(to + 1)
  end
  for _ = 1, random(1, kind) do -- some bytes changed, mostly to small numbers
    local i = random(n)
    local b = random(3) == 1 and random(0, 255) or random(0, 20)
    if random(4) == 1 then
      b = (s:byte(i) + (random(2) == 1 and 1 or 255)) % 256
    end
    s = s:sub(1, i - 1) .. char(b) .. s:sub(i + 1)
  end
  return s
end

local expected = {
  "^invalid message",
  "^table index is ",
  "^table overflow",
  "^not enough memory",
  "^module '.*' not found",
  "^too many values",
  "^a metatable's module ",
}

local function visit(seen, v, depth)
  if type(v) == "table" and not seen[v] and depth < 100 then
    seen[v] = true
    for k, x in next, v do
      visit(seen, k, depth + 1)
      visit(seen, x, depth + 1)
    end
  end
end

local function try(bytes, like)
  local m = core.frombytes(bytes, like)
  local result = { pcall(core.unpack, m) }
  if result[1] then
    for i = 2, #result do
      visit({}, result[i], 0)
    end
    return true
  end
  for _, pattern in ipairs(expected) do
    if tostring(result[2]):find(pattern) then
      return false
    end
  end
  error(("unexpected: %s\nfor %q"):format(tostring(result[2]), bytes))
end

-- Runs the rounds. -> how many decoded, how many did not; and whether nothing was left behind
local function fuzz(rounds, seed)
  local before = core.counts()
  local messages = samples()
  local good, bad = 0, 0
  math.randomseed(seed)
  for i, m in ipairs(messages) do
    assert(try(core.bytes(m), m), "sample " .. i)
  end
  for i = 1, rounds do
    local m = messages[random(#messages)]
    local bytes = core.bytes(m)
    for _ = 1, floor(random() ^ 2 * 3) + 1 do
      bytes = mutate(bytes)
      if bytes == "" then
        break
      end
    end
    if try(bytes, m) then
      good = good + 1
    else
      bad = bad + 1
    end
    if i % 1000 == 0 then
      collectgarbage()
    end
  end
  for _, m in ipairs(messages) do
    core.drop(m)
  end
  return good, bad, core.counts() == before
end

if arg and arg[0] and arg[0]:find "fuzz/codec.lua$" then
  require "luapark"
  local good, bad, clean = fuzz(tonumber(arg[1]) or 100000, tonumber(arg[2]) or os.time())
  assert(good > 0 and bad > 0 and clean)
end

return fuzz
