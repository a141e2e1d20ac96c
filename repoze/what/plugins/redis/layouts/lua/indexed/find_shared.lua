-- The sections that an item is in, and that are items of a section in another database.
--
-- KEYS[1]: the key of the item. ARGV[1]: the key of that section's items. ARGV[2]: the number of its
-- database.
-- Returns their names.

local sections = redis.call('SMEMBERS', KEYS[1])
local shared = {}
-- Of this script alone: who has called it stays in the database that he has selected.
redis.call('SELECT', ARGV[2])
for _, section in ipairs(sections) do
  if redis.call('SISMEMBER', ARGV[1], section) == 1 then
    shared[#shared + 1] = section
  end
end
return shared
