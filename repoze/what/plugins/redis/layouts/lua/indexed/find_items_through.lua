-- The items of a section of another kind, and what is in the sections of this kind that they name.
--
-- KEYS[1]: the key of this kind's section names; the others begin like it. ARGV[1]: that of the other
-- kind's. ARGV[2]: the name of its section. ARGV[3] and ARGV[4]: the numbers of its database and of this
-- kind's, where they are two.
-- Returns both as joined does; an item may be named twice. Where there is no such section, an empty array.

if ARGV[3] then
  -- Of this script alone: who has called it stays in the database that he has selected.
  redis.call('SELECT', ARGV[3])
end
if redis.call('SISMEMBER', ARGV[1], ARGV[2]) == 0 then
  return {}
end
local sections = items_of(ARGV[1], ARGV[2])
if ARGV[3] then
  redis.call('SELECT', ARGV[4])
end
local keys, ending = {}, {}
for i = 1, #sections do
  -- What has the empty name is none, whoever wrote it; and what is not among the names is none.
  if sections[i] ~= '' and redis.call('SISMEMBER', KEYS[1], sections[i]) == 1 then
    keys[#keys + 1] = key_of_items(KEYS[1], sections[i])
    ending[#ending + 1] = lasting_items_of(KEYS[1], sections[i])
  end
end
local lists = unions(keys)
for i = 1, #ending do
  lists[#lists + 1] = ending[i]
end
return joined({sections}, lists)
