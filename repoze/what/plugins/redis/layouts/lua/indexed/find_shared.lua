-- The sections that an item is in, and that are items of a section of another kind.
--
-- KEYS[1]: the key of the item. ARGV[1]: what the keys of the other kind's items begin with. ARGV[2]: the
-- name of its section. ARGV[3]: the key of its items. ARGV[4]: the number of its database, where it is
-- another.
-- Returns their names. The index has to say so, too, as for every lookup.

local sections
if ARGV[4] then
  sections = redis.call('SMEMBERS', KEYS[1])
  -- Of this script alone: who has called it stays in the database that he has selected.
  redis.call('SELECT', ARGV[4])
else
  sections = redis.call('SINTER', KEYS[1], ARGV[3])
end
local shared = {}
for _, section in ipairs(sections) do
  if section ~= '' and redis.call('SISMEMBER', ARGV[1] .. section, ARGV[2]) == 1 then
    shared[#shared + 1] = section
  end
end
return shared
