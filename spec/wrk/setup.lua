-- SPDX-License-Identifier: MIT

-- setup: numbers the threads, lets each count, and collects the counts at the end.

local crew = {}

function setup(thread)
  table.insert(crew, thread)
  thread:set("number", #crew)
  thread:set("given", { name = "thread", text = "a b", yes = true, "one", 2.5 })
end

function init(args)
  asked, answered = 0, 0
  greeting = args[1]
  print(("thread %d begins, with %s %s %s %s %s"):format(number, given.name, given.text, tostring(given.yes), given[1],
    given[2]))
end

function request()
  asked = asked + 1
  return wrk.request()
end

function response()
  answered = answered + 1
end

function done()
  for _, thread in ipairs(crew) do
    print(("thread %d asked %d and got %d, with %s and %s"):format(thread:get("number"), thread:get("asked"),
      thread:get("answered"), thread:get("greeting"), tostring(thread:get("nothing"))))
  end
end
