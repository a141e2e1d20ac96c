-- Removes items from a section, all or none.
--
-- ARGV[3]: the section. ARGV[4] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items absent', ITEM, ...}.

local section = ARGV[3]
if not has_section(section) then
  return {'no section', 'none'}
end
local absent = items_held(section, 0, 'items absent')
if #absent > 1 then
  return absent
end
probe(section_key(section))

begin(false)
call_in_parts('SREM', section_key(section), ARGV, 4)
for i = 4, #ARGV do
  redis.call('SREM', item_key(ARGV[i]), section)
end
return done({})
