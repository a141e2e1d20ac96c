-- The sections that an item is in, and that are items of a section in another database.
--
-- ARGV[1]: the item. ARGV[2]: the section. ARGV[3] and ARGV[4]: the numbers of its database and of this one.
-- Returns their names. No database is gone through: the section says where to look.

-- Of this script alone: who has called it stays in the database that he has selected.
redis.call('SELECT', ARGV[3])
local sections = members(ARGV[2])
redis.call('SELECT', ARGV[4])
local shared = {}
for _, section in ipairs(sections) do
  if redis.call('TYPE', section).ok == 'set'
    and redis.call('SISMEMBER', section, ARGV[1]) == 1 then
    shared[#shared + 1] = section
  end
end
return shared
