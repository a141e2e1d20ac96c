-- The items of a section in another database, and what is in the sections of this one that they name.
--
-- ARGV[1]: the section. ARGV[2] and ARGV[3]: the numbers of its database and of this one.
-- Returns both as joined does; an item may be named twice. Where there is no such section, an empty array.

-- Of this script alone: who has called it stays in the database that he has selected.
redis.call('SELECT', ARGV[2])
if redis.call('TYPE', ARGV[1]).ok ~= 'set' then
  return {}
end
local sections = members(ARGV[1])
redis.call('SELECT', ARGV[3])
local items = {}
for _, section in ipairs(sections) do
  items[#items + 1] = members(section)
end
return joined({sections}, items)
