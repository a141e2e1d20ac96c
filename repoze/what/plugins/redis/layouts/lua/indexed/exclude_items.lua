-- Removes items from a section, all or none.
--
-- ARGV[2]: the section. ARGV[3] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items absent', ITEM, ...}.

if redis.call('SISMEMBER', KEYS[1], ARGV[2]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[2]
local refusal = {'items absent'}
for i = 3, #ARGV do
  redis.call('SISMEMBER', prefix .. 'item:' .. ARGV[i], ARGV[2])
  if redis.call('SISMEMBER', section_key, ARGV[i]) == 0 then
    refusal[#refusal + 1] = ARGV[i]
  end
end
if #refusal > 1 then
  return refusal
end

local problem = begin(false)
if problem then
  return problem
end
call_in_parts('SREM', section_key, ARGV, 3)
for i = 3, #ARGV do
  redis.call('SREM', prefix .. 'item:' .. ARGV[i], ARGV[2])
end
return done({})
