-- When those items of a section end that are in it for a time.
--
-- KEYS[1]: the key of the section names; the others begin like it. ARGV[1]: the section.
-- Returns {ITEM, END, ...}, or false where there is no such section.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return false
end
return lasting(ends_key_of(KEYS[1], ARGV[1]), 'WITHSCORES')
