-- SPDX-License-Identifier: MIT

-- pipeline: sends three requests at once.

local together

function init()
  local parts = {}
  for i, word in ipairs { "one", "two", "three" } do
    parts[i] = wrk.format(nil, "/?" .. word)
  end
  together = table.concat(parts)
end

function request()
  return together
end
