-- Removes an item from every section.
--
-- ARGV[7]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local item = ARGV[7]
local sections = redis.call('SMEMBERS', item_key(item))
if #sections == 0 then
  return {'item absent'}
end
for i = 1, #sections do
  probe(section_key(sections[i]))
end
probe(item_key(item))
local left = sections_with(item, sections)
if #left > 0 then
  will_change(1, 'remove_item', {sections = packed(left), removed = packed({item})})
end

begin(false)
for i = 1, #sections do
  redis.call('SREM', section_key(sections[i]), item)
end
call_in_parts('SREM', item_key(item), sections, 1)
return done(sections)
