-- Adds items to a section, all or none.
--
-- ARGV[2]: the section. ARGV[3] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items present', ITEM, ...}.

if redis.call('SISMEMBER', KEYS[1], ARGV[2]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[2]
local refusal = {'items present'}
for i = 3, #ARGV do
  redis.call('SISMEMBER', prefix .. 'item:' .. ARGV[i], ARGV[2])
  if redis.call('SISMEMBER', section_key, ARGV[i]) == 1 then
    refusal[#refusal + 1] = ARGV[i]
  end
end
if #refusal > 1 then
  return refusal
end

local problem = begin(true)
if problem then
  return problem
end
call_in_parts('SADD', section_key, ARGV, 3)
for i = 3, #ARGV do
  redis.call('SADD', prefix .. 'item:' .. ARGV[i], ARGV[2])
end
return done({})
