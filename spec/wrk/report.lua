-- SPDX-License-Identifier: MIT

-- report: tells all that there is to know at the end, a line each.

local function say(name, value)
  print(("%s: %s"):format(name, value))
end

function done(summary, latency, requests)
  print "----"
  for _, name in ipairs { "duration", "requests", "bytes" } do
    say("summary." .. name, summary[name])
  end
  for _, name in ipairs { "connect", "read", "write", "status", "timeout" } do
    say("errors." .. name, summary.errors[name])
  end
  for name, stats in pairs { latency = latency, requests = requests } do
    for _, field in ipairs { "min", "max", "mean", "stdev" } do
      say(name .. "." .. field, stats[field])
    end
    for _, p in ipairs { 50, 90, 99, 99.999 } do
      say(("%s:percentile(%g)"):format(name, p), stats:percentile(p))
    end
    say("#" .. name, #stats)
    local value, count = stats(1)
    say(name .. "(1)", value)
    say(name .. "(1) count", count)
  end
end
