-- Removes an item from every section.
--
-- ARGV[3]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local item_key = prefix .. 'item:' .. ARGV[3]
local sections = redis.call('SMEMBERS', item_key)
if #sections == 0 then
  return {'item absent'}
end
for i = 1, #sections do
  redis.call('SISMEMBER', prefix .. 'section:' .. sections[i], ARGV[3])
end

begin(false)
for i = 1, #sections do
  redis.call('SREM', prefix .. 'section:' .. sections[i], ARGV[3])
end
call_in_parts('SREM', item_key, sections, 1)
return done(sections)
