-- The items of a section.
--
-- KEYS[1]: the key of the section names. KEYS[2]: that of the section.
-- ARGV[1]: the section.
-- Returns the items, or false where there is no such section.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return false
end
return redis.call('SMEMBERS', KEYS[2])
