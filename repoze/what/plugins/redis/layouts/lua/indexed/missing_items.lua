-- Which of some items a section lacks.
--
-- KEYS[1]: the key of the section names; the others begin like it. ARGV[1]: the section. ARGV[2] and
-- following: the items.
-- Returns 1 for each that it lacks, and 0 for each that it has, in this order.

local key, ends_key = key_of_items(KEYS[1], ARGV[1]), ends_key_of(KEYS[1], ARGV[1])
local has_ends = redis.call('EXISTS', ends_key) == 1
local reply = {}
for i = 2, #ARGV do
  local is_there = redis.call('SISMEMBER', key, ARGV[i]) == 1
  if not is_there and has_ends then
    local ending = redis.call('ZSCORE', ends_key, ARGV[i])
    is_there = ending and tonumber(ending) > now()
  end
  reply[i - 1] = is_there and 0 or 1
end
return reply
