-- Gives an item another name, in every section.
--
-- ARGV[2]: the item. ARGV[3]: its new name.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local item_key = prefix .. 'item:' .. ARGV[2]
local new_key = prefix .. 'item:' .. ARGV[3]
local sections = redis.call('SMEMBERS', item_key)
if #sections == 0 then
  return {'item absent'}
elseif redis.call('EXISTS', new_key) == 1 then
  return {'item taken'}
end
for i = 1, #sections do
  redis.call('SISMEMBER', prefix .. 'section:' .. sections[i], ARGV[2])
end

local problem = begin(true)
if problem then
  return problem
end
for i = 1, #sections do
  local section_key = prefix .. 'section:' .. sections[i]
  redis.call('SADD', section_key, ARGV[3])
  redis.call('SREM', section_key, ARGV[2])
end
call_in_parts('SADD', new_key, sections, 1)
call_in_parts('SREM', item_key, sections, 1)
return done(sections)
