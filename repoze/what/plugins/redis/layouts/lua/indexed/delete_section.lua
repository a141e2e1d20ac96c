-- Removes a section with its items.
--
-- ARGV[7]: the section.
-- Returns {'done'} or {'no section', 'none'}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local items = probe_section(section)
will_change(1, 'delete_section', {sections = packed({section}), removed = packed(items)})

begin(false)
for i = 1, #items do
  redis.call('SREM', item_key(items[i]), section)
end
call_in_parts('SREM', section_key(section), items, 1)
redis.call('SREM', KEYS[1], section)
return done({})
