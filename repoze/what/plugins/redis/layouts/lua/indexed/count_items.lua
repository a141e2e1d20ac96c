-- How many items a section has.
--
-- KEYS[1]: the key of the section names; the others begin like it. ARGV[1]: the section.

local ends_key = ends_key_of(KEYS[1], ARGV[1])
local count = redis.call('SCARD', key_of_items(KEYS[1], ARGV[1]))
if redis.call('EXISTS', ends_key) == 1 then
  count = count + redis.call('ZCOUNT', ends_key, '(' .. string.format('%.0f', now()), '+inf')
end
return count
