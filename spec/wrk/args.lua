-- SPDX-License-Identifier: MIT

-- args: says what `init` is given, and what is in wrk.

local NAMES = { "scheme", "host", "port", "path", "method", "body", "headers", "format", "lookup", "connect" }

function init(args)
  for i = 0, #args do
    print(("args[%d] = %s"):format(i, args[i]))
  end
  for _, name in ipairs(NAMES) do
    local value = wrk[name]
    print(("wrk.%s: %s"):format(name, type(value) == "string" and value or type(value)))
  end
  local lines = {}
  for name, value in pairs(wrk.headers) do
    lines[#lines + 1] = ("header %s = %s"):format(name, value)
  end
  for _, text in ipairs { wrk.format(), wrk.format("PUT", "/x", { Accept = "a" }, "body") } do
    for line in text:gmatch "[^\r\n]+" do
      lines[#lines + 1] = line
    end
  end
  table.sort(lines)
  print(table.concat(lines, "\n"))
end
