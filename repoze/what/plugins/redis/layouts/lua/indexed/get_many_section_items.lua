-- The items of several sections.
--
-- KEYS[1]: the key of the section names; those of the sections begin like it.
-- ARGV: the sections.
-- Returns for each, in this order, its items, or false where there is no such section.

local reply = {}
for i, section in ipairs(ARGV) do
  reply[i] = redis.call('SISMEMBER', KEYS[1], section) == 1 and items_of(KEYS[1], section)
end
return reply
