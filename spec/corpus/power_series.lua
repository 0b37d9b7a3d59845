-- SPDX-License-Identifier: MIT

-- power_series: Doug McIlroy's "Squinting at power series" in small. A series is a channel of its coefficients, fractions;
-- each operation is a goroutine, spawned, so anywhere. Some of them feed themselves.
--
-- Prints:
--   1/(1-x): 1 1 1 1 1 1 1 1
--   its square: 1 2 3 4 5 6 7 8
--   its integral: 0 1 1/2 1/3 1/4 1/5 1/6 1/7
--   exp: 1 1 1/2 1/6 1/24 1/120 1/720 1/5040
--   exp's derivative: 1 1 1/2 1/6 1/24 1/120 1/720 1/5040
--   1/exp: 1 -1 1/2 -1/6 1/24 -1/120 1/720 -1/5040
--   sin: 0 1 0 -1/6 0 1/120 0 -1/5040
--   sin^2 + cos^2: 1 0 0 0 0 0 0 0
--   tan: 0 1 0 1/3 0 2/15 0 17/315
--   all gone

local lp = luapark
local spawn = lp.spawn
local TERMS = 8

-- Fractions.

local function gcd(a, b)
  while b ~= 0 do
    a, b = b, a % b
  end
  return a
end

local function ratio(n, d)
  local g = gcd(math.abs(n), d)
  return { n / g, d / g }
end

local function plus(a, b) return ratio(a[1] * b[2] + b[1] * a[2], a[2] * b[2]) end
local function times(a, b) return ratio(a[1] * b[1], a[2] * b[2]) end
local function inverse(a) return a[1] > 0 and ratio(a[2], a[1]) or ratio(-a[2], -a[1]) end

-- Series. All end with `quit`: put and get are false then.

local quit, living = chan(), lp.waitgroup()

local function put(c, v) return lp.select { quit, { c, send = v } } == 2 end

local function get(c)
  local i, v = lp.select { quit, c }
  return i == 2 and v
end

-- A series that body(out, ...) makes.
local function series(body, ...)
  local out = chan()
  living:add()
  spawn(function(...)
    body(...)
    living:done()
  end, out, ...)
  return out
end

local function constant(v)
  return series(function(out)
    while put(out, v) do end
  end)
end

-- v, and then the terms of u.
local function cons(v, u)
  return series(function(out)
    local go_on = put(out, v)
    while go_on do
      local x = get(u)
      go_on = x and put(out, x)
    end
  end)
end

-- The terms of u by their number from 0.
local function map(u, f)
  return series(function(out)
    local n = 0
    repeat
      local x = get(u)
      local more = x and put(out, f(x, n))
      n = n + 1
    until not more
  end)
end

local function add(u, v)
  return series(function(out)
    repeat
      local x = get(u)
      local y = x and get(v)
    until not (y and put(out, plus(x, y)))
  end)
end

local function scale(u, a) return map(u, function(x) return times(x, a) end) end

local function integral(u, first)
  return cons(first, map(u, function(x, n) return times(x, { 1, n + 1 }) end))
end

local function derivative(u)
  return series(function(out)
    local n, more = 1, get(u)
    while more do
      local x = get(u)
      more = x and put(out, times(x, { n, 1 }))
      n = n + 1
    end
  end)
end

-- c[n] = the sum of a[k] * b[n - k].
local function mul(u, v)
  return series(function(out)
    local a, b, n = {}, {}, 0
    repeat
      a[n] = get(u)
      b[n] = a[n] and get(v)
      if not b[n] then
        return
      end
      local sum = { 0, 1 }
      for k = 0, n do
        sum = plus(sum, times(a[k], b[n - k]))
      end
      n = n + 1
    until not put(out, sum)
  end)
end

-- 1/u: b[0] = 1/a[0], b[n] = -b[0] * the sum of a[k] * b[n - k], k from 1.
local function reciprocal(u)
  return series(function(out)
    local a, b, n = {}, {}, 0
    repeat
      a[n] = get(u)
      if not a[n] then
        return
      end
      if n == 0 then
        b[0] = inverse(a[0])
      else
        local sum = { 0, 1 }
        for k = 1, n do
          sum = plus(sum, times(a[k], b[n - k]))
        end
        b[n] = times(times(sum, b[0]), { -1, 1 })
      end
      n = n + 1
    until not put(out, b[n - 1])
  end)
end

-- Two series with the terms of u, each for who reads at a pace of its own; but not so far ahead that one that feeds itself
-- would go on for ever.
local function split(u, a, b)
  living:add()
  spawn(function()
    local qa, qb = {}, {}
    while true do
      local i, v = lp.select { quit, qa[1] and { a, send = qa[1] }, qb[1] and { b, send = qb[1] },
        (not qa[1] or not qb[1]) and #qa + #qb < TERMS + 2 and u }
      if i == 1 then
        break
      elseif i == 2 then
        table.remove(qa, 1)
      elseif i == 3 then
        table.remove(qb, 1)
      else
        qa[#qa + 1], qb[#qb + 1] = v, v
      end
    end
    living:done()
  end)
  return a, b
end

local function exp()
  local back, out = chan(), chan()
  split(integral(back, { 1, 1 }), back, out) -- it is its own integral, but for the 1
  return out
end

-- sin is the integral of cos, and cos is 1 minus the integral of sin.
local function sincos()
  local sinback, sinout, cosback, cosout = chan(), chan(), chan(), chan()
  split(integral(cosback, { 0, 1 }), sinback, sinout)
  split(integral(scale(sinback, { -1, 1 }), { 1, 1 }), cosback, cosout)
  return sinout, cosout
end

local function show(name, u)
  local words = {}
  for i = 1, TERMS do
    local v = u:recv()
    words[i] = v[2] == 1 and ("%d"):format(v[1]) or ("%d/%d"):format(v[1], v[2])
  end
  print(name .. ": " .. table.concat(words, " "))
end

local function ones() return constant { 1, 1 } end

show("1/(1-x)", ones())
show("its square", mul(ones(), ones()))
show("its integral", integral(ones(), { 0, 1 }))
show("exp", exp())
show("exp's derivative", derivative(exp()))
show("1/exp", reciprocal(exp()))
show("sin", (sincos()))
do
  local s, c = sincos()
  local s1, s2 = split(s, chan(), chan())
  local c1, c2 = split(c, chan(), chan())
  show("sin^2 + cos^2", add(mul(s1, s2), mul(c1, c2)))
end
do
  local s, c = sincos()
  show("tan", mul(s, reciprocal(c)))
end

quit:close()
living:wait()
print "all gone"
