-- SPDX-License-Identifier: MIT

-- exits: what is under way in a goroutine, and has to be ended with it where it ends by goexit, which unwinds nothing.

local core = require "luapark.core"
local view = require("luapark.rt").view

local exits = {}

local under = {} -- goroutine's slot -> the innermost: { finish, of what, the next one out }, or nil
core.exits(under) -- for those that end with a run that fails

-- finish(what) is called if the running goroutine ends by goexit before it comes to exits.leave().
function exits.enter(finish, what)
  local cur = view.cur
  under[cur] = { finish, what, under[cur] }
end

function exits.leave()
  local cur = view.cur
  under[cur] = under[cur][3]
end

-- The running goroutine ends: innermost first.
function exits.finish()
  local cur = view.cur
  local e = under[cur]
  under[cur] = nil
  while e do
    e[1](e[2])
    e = e[3]
  end
end

return exits
