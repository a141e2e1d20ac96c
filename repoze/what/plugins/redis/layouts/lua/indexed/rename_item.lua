-- Gives an item another name, in every section.
--
-- ARGV[3]: the item. ARGV[4]: its new name.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local item_key = prefix .. 'item:' .. ARGV[3]
local new_key = prefix .. 'item:' .. ARGV[4]
local sections = redis.call('SMEMBERS', item_key)
if #sections == 0 then
  return {'item absent'}
elseif redis.call('EXISTS', new_key) == 1 then
  return {'item taken'}
end
for i = 1, #sections do
  redis.call('SISMEMBER', prefix .. 'section:' .. sections[i], ARGV[3])
end

begin(true)
for i = 1, #sections do
  local section_key = prefix .. 'section:' .. sections[i]
  redis.call('SADD', section_key, ARGV[4])
  redis.call('SREM', section_key, ARGV[3])
end
call_in_parts('SADD', new_key, sections, 1)
call_in_parts('SREM', item_key, sections, 1)
return done(sections)
