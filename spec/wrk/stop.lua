-- SPDX-License-Identifier: MIT

-- stop: each thread ends after 50 answers.

local left = 50

function response()
  left = left - 1
  if left == 0 then
    wrk.thread:stop()
  end
end
