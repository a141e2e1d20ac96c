-- Removes a section with its items.
--
-- ARGV[3]: the section.
-- Returns {'done'} or {'no section', 'none'}.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[3]
local items = redis.call('SMEMBERS', section_key)
for i = 1, #items do
  redis.call('SISMEMBER', prefix .. 'item:' .. items[i], ARGV[3])
end

begin(false)
for i = 1, #items do
  redis.call('SREM', prefix .. 'item:' .. items[i], ARGV[3])
end
call_in_parts('SREM', section_key, items, 1)
redis.call('SREM', KEYS[1], ARGV[3])
return done({})
