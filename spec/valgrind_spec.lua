-- SPDX-License-Identifier: MIT

-- The executable under valgrind: parks everywhere, no report. (make asan runs everything under AddressSanitizer.)

local helper = require "spec.helper"

if not helper.inexe then
  return -- once is enough
end

describe("under valgrind", function()
  it("goroutines that park in C functions, with errors and collections, leave no report", function()
    if os.execute("command -v valgrind >/dev/null 2>&1") ~= 0 or os.getenv("LUAPARK_BUILD") ~= nil
      and os.getenv("LUAPARK_BUILD") ~= "build" then
      pending "needs valgrind, and a build without sanitizers"
      return
    end
    local pipe = assert(io.popen("valgrind -q --error-exitcode=9 " .. helper.exe
      .. " spec/stress/mixed.lua 40 5 2>&1; echo $?"))
    local out = pipe:read("*a")
    pipe:close()
    assert.equal("ok\n0\n", out)
  end)
end)
