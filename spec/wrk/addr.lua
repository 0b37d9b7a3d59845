-- SPDX-License-Identifier: MIT

-- addr: each thread is told in `setup` which of the server's addresses to use, and says so in `init`. They are given out in
-- turn; those that cannot be connected to are left out.

local reachable, nextone = nil, 1

function setup(thread)
  if not reachable then
    reachable = {}
    for _, address in ipairs(wrk.lookup(wrk.host, wrk.port or "http")) do
      if wrk.connect(address) then
        table.insert(reachable, address)
      end
    end
  end
  thread.addr = reachable[(nextone - 1) % #reachable + 1]
  nextone = nextone + 1
end

function init()
  print("this thread connects to " .. tostring(wrk.thread.addr))
end
