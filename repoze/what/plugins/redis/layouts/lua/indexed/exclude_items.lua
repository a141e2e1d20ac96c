-- Removes items from a section, all or none.
--
-- ARGV[3]: the section. ARGV[4] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items absent', ITEM, ...}.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[3]
local refusal = {'items absent'}
for i = 4, #ARGV do
  redis.call('SISMEMBER', prefix .. 'item:' .. ARGV[i], ARGV[3])
  if redis.call('SISMEMBER', section_key, ARGV[i]) == 0 then
    refusal[#refusal + 1] = ARGV[i]
  end
end
if #refusal > 1 then
  return refusal
end

begin(false)
call_in_parts('SREM', section_key, ARGV, 4)
for i = 4, #ARGV do
  redis.call('SREM', prefix .. 'item:' .. ARGV[i], ARGV[3])
end
return done({})
