-- SPDX-License-Identifier: MIT

-- counter: numbers the requests of each thread, in path and header.

local sent = 0

function request()
  wrk.headers["X-Number"] = sent
  local path = "/item/" .. sent
  sent = sent + 1
  return wrk.format(nil, path)
end
