-- SPDX-License-Identifier: MIT

-- time: the clock, and timers that send. (Sleeping is the core's.)

local core = require "luapark.core"
local rt = require "luapark.rt"

local now, after = rt.now, core.after
local type, error, tostring = type, error, tostring

local time = {}

-- Seconds on a monotonic clock, with fractions.
function time.now()
  return now()
end

-- after(s) -> a channel that receives the time, once, in s seconds.
function time.after(s)
  if type(s) ~= "number" or s ~= s then
    error("bad argument #1 to 'after' (number of seconds expected, got " .. (s == nil and "no value" or tostring(s))
      .. ")", 2)
  end
  return after(s)
end

return time
