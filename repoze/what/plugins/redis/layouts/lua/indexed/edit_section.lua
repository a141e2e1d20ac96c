-- Gives a section another name.
--
-- ARGV[3]: the section. ARGV[4]: its new name.
-- Returns {'done'}, {'no section', 'none'} or {'section present'}; an INCONSISTENT error where items
-- without a section lie under the new name.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 0 then
  return {'no section', 'none'}
end
if redis.call('SISMEMBER', KEYS[1], ARGV[4]) == 1 then
  return {'section present'}
end
local section_key = prefix .. 'section:' .. ARGV[3]
local new_key = prefix .. 'section:' .. ARGV[4]
if redis.call('EXISTS', new_key) == 1 then
  return redis.error_reply('INCONSISTENT there are items of the new section, but no such section')
end
local items = redis.call('SMEMBERS', section_key)
for i = 1, #items do
  redis.call('SISMEMBER', prefix .. 'item:' .. items[i], ARGV[4])
end

begin(true)
for i = 1, #items do
  local item_key = prefix .. 'item:' .. items[i]
  redis.call('SADD', item_key, ARGV[4])
  redis.call('SREM', item_key, ARGV[3])
end
call_in_parts('SADD', new_key, items, 1)
call_in_parts('SREM', section_key, items, 1)
redis.call('SADD', KEYS[1], ARGV[4])
redis.call('SREM', KEYS[1], ARGV[3])
return done({})
