-- The sections that an item is in, and that are items of a section of another kind.
--
-- KEYS[1]: the key of the item. KEYS[2]: that of its sorted set. ARGV[1]: what the keys of the other kind
-- begin with. ARGV[2]: the name of its section. ARGV[3]: the number of its database, where it is another.
-- Returns their names. The index has to say so, too, as for every lookup.

local other_items, other_ends = ARGV[1] .. 'item:', ARGV[1] .. 'item-until:'
local key, ends_key = ARGV[1] .. 'section:' .. ARGV[2], ARGV[1] .. 'section-until:' .. ARGV[2]
local is_marked = redis.call('SISMEMBER', KEYS[1], '') == 1
local sections
if ARGV[3] then
  sections = redis.call('SMEMBERS', KEYS[1])
end
if is_marked then
  sections = sections or redis.call('SMEMBERS', KEYS[1])
  local ending = lasting(KEYS[2])
  for i = 1, #ending do
    sections[#sections + 1] = ending[i]
  end
end
if ARGV[3] then
  -- Of this script alone: who has called it stays in the database that he has selected.
  redis.call('SELECT', ARGV[3])
end
local has_ends = redis.call('EXISTS', ends_key) == 1
if not sections then
  sections = has_ends and redis.call('SMEMBERS', KEYS[1]) or redis.call('SINTER', KEYS[1], key)
end

local function lasts(ends, name)
  local ending = redis.call('ZSCORE', ends, name)
  return ending and tonumber(ending) > now()
end

local shared = {}
for _, section in ipairs(sections) do
  if section ~= '' then
    local is_for_good = redis.call('SISMEMBER', other_items .. section, ARGV[2]) == 1
      and redis.call('SISMEMBER', key, section) == 1
    if is_for_good or (
      has_ends and lasts(ends_key, section) and lasts(other_ends .. section, ARGV[2])
    ) then
      shared[#shared + 1] = section
    end
  end
end
return shared
