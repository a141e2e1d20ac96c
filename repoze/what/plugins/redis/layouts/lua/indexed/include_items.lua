-- Adds items to a section, all or none.
--
-- ARGV[3]: the section. ARGV[4] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items present', ITEM, ...}.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[3]
local refusal = {'items present'}
for i = 4, #ARGV do
  redis.call('SISMEMBER', prefix .. 'item:' .. ARGV[i], ARGV[3])
  if redis.call('SISMEMBER', section_key, ARGV[i]) == 1 then
    refusal[#refusal + 1] = ARGV[i]
  end
end
if #refusal > 1 then
  return refusal
end

begin(true)
call_in_parts('SADD', section_key, ARGV, 4)
for i = 4, #ARGV do
  redis.call('SADD', prefix .. 'item:' .. ARGV[i], ARGV[3])
end
return done({})
