-- SPDX-License-Identifier: MIT

-- auth: asks for a token first, and sends it with all requests once it is there.

local given

function request()
  return wrk.format("GET", given and "/resource" or "/authenticate")
end

function response(status, headers)
  if status == 200 and not given then
    given = headers["X-Token"]
    wrk.headers["X-Token"] = given
  end
end
