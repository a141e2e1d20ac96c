-- Adds items to a section, all or none.
--
-- ARGV[7]: the section. ARGV[8] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items present', ITEM, ...}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local present = items_held(section, 1, 'items present')
if #present > 1 then
  return present
end
probe(section_key(section))
if #ARGV >= 8 then
  will_change(1, 'include_items', {sections = packed({section}), added = packed(ARGV, 8)})
end

begin(true)
call_in_parts('SADD', section_key(section), ARGV, 8)
for i = 8, #ARGV do
  redis.call('SADD', item_key(ARGV[i]), section)
end
return done({})
