-- The sections that an item is in, and those of another database that any of these is an item of.
--
-- ARGV[1]: the item. ARGV[2]: the number of the other database.
-- Returns both as joined does; one may be named twice.

local sections = sections_of({ARGV[1]})
local named = {}
for i = 1, #sections do
  -- What has the empty name is none.
  if sections[i] ~= '' then
    named[#named + 1] = sections[i]
  end
end
if #named == 0 then
  return joined({sections}, {})
end
-- Of this script alone: who has called it stays in the database that he has selected.
redis.call('SELECT', ARGV[2])
return joined({sections}, {sections_of(named)})
