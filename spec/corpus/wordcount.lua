-- SPDX-License-Identifier: MIT

-- wordcount: map and reduce: texts go out to mappers, tables of counts come back and are added up.
--
-- Prints:
--   words 24000, different 7
--   dog 3000
--   fox 3000
--   the 6000

local text = "the quick brown fox jumps over the lazy dog\n"
text = text:gsub("jumps over ", "over ")

local function map(texts, counts)
  for s in texts do
    local t = {}
    for word in s:gmatch "%a+" do
      t[word] = (t[word] or 0) + 1
    end
    counts:send(t)
  end
  counts:send(false)
end

local MAPPERS, TEXTS = 5, 60
local texts, counts = chan(2), chan()
for _ = 1, MAPPERS do
  go(map, texts, counts)
end
go(function()
  for _ = 1, TEXTS do
    texts:send((text:rep(50)))
  end
  texts:close()
end)

local total, words, different, running = {}, 0, 0, MAPPERS
while running > 0 do
  local t = counts:recv()
  if t then
    for word, n in pairs(t) do
      different = different + (total[word] and 0 or 1)
      total[word] = (total[word] or 0) + n
      words = words + n
    end
  else
    running = running - 1
  end
end
print(("words %d, different %d"):format(words, different))
for _, word in ipairs { "dog", "fox", "the" } do
  print(word .. " " .. total[word])
end
