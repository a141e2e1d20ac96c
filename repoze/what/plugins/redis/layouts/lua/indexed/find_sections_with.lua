-- The sections that an item is in, and those of another kind that any of these is an item of.
--
-- KEYS[1]: the key of the item. ARGV[1]: what the keys of the other kind's items begin with.
-- ARGV[2]: the number of the other kind's database, where it is another.
-- Returns both as joined does; one may be named twice.

local sections = redis.call('SMEMBERS', KEYS[1])
local keys = {}
for i = 1, #sections do
  -- What has the empty name is none, whoever wrote it.
  if sections[i] ~= '' then
    keys[#keys + 1] = ARGV[1] .. sections[i]
  end
end
if ARGV[2] and #keys > 0 then
  -- Of this script alone: who has called it stays in the database that he has selected.
  redis.call('SELECT', ARGV[2])
end
return joined({sections}, unions(keys))
