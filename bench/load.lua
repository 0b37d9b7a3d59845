-- SPDX-License-Identifier: MIT

-- load: the script of the row load_script (load.sh): each request is built, and each answer's body is read.

local n, bytes = 0, 0

function request()
  n = n + 1
  return wrk.format("GET", "/item/" .. n, { ["X-Number"] = n })
end

function response(_, _, body)
  bytes = bytes + #body
end
