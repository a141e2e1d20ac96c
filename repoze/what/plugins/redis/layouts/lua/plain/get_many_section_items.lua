-- The items of several sections.
--
-- ARGV: the sections.
-- Returns for each, in this order, its members, or false where there is no such section.

local reply = {}
for i, section in ipairs(ARGV) do
  reply[i] = redis.call('TYPE', section).ok == 'set' and redis.call('SMEMBERS', section)
end
return reply
