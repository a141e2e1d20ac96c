-- Adds items to a section, all or none.
--
-- ARGV[3]: the section. ARGV[4] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items present', ITEM, ...}.

local section = ARGV[3]
if not has_section(section) then
  return {'no section', 'none'}
end
local present = items_held(section, 1, 'items present')
if #present > 1 then
  return present
end
probe(section_key(section))

begin(true)
call_in_parts('SADD', section_key(section), ARGV, 4)
for i = 4, #ARGV do
  redis.call('SADD', item_key(ARGV[i]), section)
end
return done({})
