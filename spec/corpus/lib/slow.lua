-- SPDX-License-Identifier: MIT

-- slow: a module that waits while it is loaded, and counts how often that is in the global `loads`.

-- luacheck: globals loads

local lp = require "luapark"

lp.sleep(0.005)
loads = loads + 1

return {}
