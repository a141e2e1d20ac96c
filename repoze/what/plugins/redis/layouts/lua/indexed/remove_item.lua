-- Removes an item from every section.
--
-- ARGV[3]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local item = ARGV[3]
local sections = redis.call('SMEMBERS', item_key(item))
if #sections == 0 then
  return {'item absent'}
end
for i = 1, #sections do
  probe(section_key(sections[i]))
end
probe(item_key(item))

begin(false)
for i = 1, #sections do
  redis.call('SREM', section_key(sections[i]), item)
end
call_in_parts('SREM', item_key(item), sections, 1)
return done(sections)
