-- SPDX-License-Identifier: MIT

-- go_md: what docs/go.md names as shown is there.

local slurp = require("spec.helper").slurp

local function exists(name)
  local f = io.open(name)
  if f then
    f:close()
  end
  return f ~= nil
end

describe("docs/go.md", function()
  it("names specs and programs that are there", function()
    local texts, n = {}, 0
    for line in slurp "docs/go.md":gmatch "[^\n]+" do
      for file, name in line:gmatch "`([%w_]+)`: ([^<|]+)" do
        name = name:gsub("%s+$", "")
        if file == "corpus" then
          assert.is_true(exists(("spec/corpus/%s.lua"):format(name)), name)
        else
          texts[file] = texts[file] or slurp(("spec/%s.lua"):format(file))
          assert.truthy(texts[file]:find('it("' .. name, 1, true), ("%s has no '%s'"):format(file, name))
        end
        n = n + 1
      end
    end
    assert.is_true(n > 100)
  end)
end)
