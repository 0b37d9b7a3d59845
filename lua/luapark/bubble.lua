-- SPDX-License-Identifier: MIT

-- bubble: what is made in a synctest bubble, for those who make it.
--
-- A channel, timer, wait group, semaphore or context that a goroutine of a bubble makes is the bubble's own: its field
-- `bubble` is the bubble's number, and to wait for it blocks durably. Who is outside must not use it. Where that would cost
-- those something who are in no bubble, such objects have a metatable of their own, which is neither that of what is at
-- home nor that of what is shared: so it is found where these two are told apart, and costs nothing.
--
-- What is a bubble's own never goes to another P: the codec knows it by its metatable's field __own (src/lua/write.c).
-- (src/sched/bubble.h is what a bubble is.)

local view = require("luapark.rt").view
local carry = require "luapark.carry"
local error = error

local bubble = {
  live = 0, -- bubbles of this state; while there are none nobody need ask view.bubble, which takes the interpreter long
}

-- The metatable of a kind of them.
function bubble.class(kind, mt)
  mt.__own = kind
  carry.handle(mt)
  return mt
end

-- o, just made, is the bubble's of the running goroutine, which is in one. -> o
function bubble.own(o)
  o.bubble = view.bubble
  return o
end

-- o belongs to a bubble: an error unless the running goroutine is in it. what: "send on synctest channel"; level: whose
-- fault it is, as for error.
function bubble.check(o, what, level)
  if o.bubble ~= view.bubble then
    error(what .. " from outside bubble", level + 1)
  end
end

return bubble
