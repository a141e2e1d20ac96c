-- Removes items from a section, all or none.
--
-- ARGV[7]: the section. ARGV[8] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items absent', ITEM, ...}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local absent = items_held(section, 0, 'items absent')
if #absent > 1 then
  return absent
end
probe(section_key(section))
if #ARGV >= 8 then
  will_change(1, 'exclude_items', {sections = packed({section}), removed = packed(ARGV, 8)})
end

begin(false)
call_in_parts('SREM', section_key(section), ARGV, 8)
for i = 8, #ARGV do
  redis.call('SREM', item_key(ARGV[i]), section)
end
return done({})
