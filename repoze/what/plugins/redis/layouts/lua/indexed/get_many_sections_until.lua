-- The items of several sections, and when those end that are in it for a time.
--
-- KEYS[1]: the key of the section names; the others begin like it.
-- ARGV: the sections.
-- Returns for each, in this order, {{ITEM, ...}, {ITEM, END, ...}}: those that are in it for good, and the
-- others; or false where there is no such section.

local reply = {}
for i, section in ipairs(ARGV) do
  reply[i] = redis.call('SISMEMBER', KEYS[1], section) == 1 and {
    redis.call('SMEMBERS', key_of_items(KEYS[1], section)),
    lasting(ends_key_of(KEYS[1], section), 'WITHSCORES'),
  }
end
return reply
