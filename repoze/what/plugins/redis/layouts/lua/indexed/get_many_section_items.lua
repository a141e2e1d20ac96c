-- The items of several sections.
--
-- KEYS[1]: the key of the section names; those of the sections begin like it.
-- ARGV: the sections.
-- Returns for each, in this order, its items, or false where there is no such section.

local prefix = string.sub(KEYS[1], 1, -1 - #'sections')
local reply = {}
for i, section in ipairs(ARGV) do
  reply[i] = redis.call('SISMEMBER', KEYS[1], section) == 1
    and redis.call('SMEMBERS', prefix .. 'section:' .. section)
end
return reply
