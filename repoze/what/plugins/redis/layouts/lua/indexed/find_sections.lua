-- The sections that any of some items is in, of which one at least may be in some for a time.
--
-- KEYS: the keys of the items, and then those of the sorted sets of each.
-- Returns {IS_MARKED, LASTS, SECTION, ...}: whether any item has the mark, for how many milliseconds the
-- answer lasts (0 is that none of it ends), and the sections; one may be named twice, and what has the
-- empty name is none.

local count = #KEYS / 2
local reply = {0, 0}
local first_end
for i = 1, count do
  for _, section in ipairs(redis.call('SMEMBERS', KEYS[i])) do
    if section == '' then
      reply[1] = 1
    end
    reply[#reply + 1] = section
  end
  local ending = lasting(KEYS[count + i], 'WITHSCORES')
  for j = 1, #ending, 2 do
    reply[#reply + 1] = ending[j]
  end
  if ending[2] then
    first_end = math.min(first_end or math.huge, tonumber(ending[2]))
  end
end
if first_end then
  reply[2] = first_end - now()
end
return reply
