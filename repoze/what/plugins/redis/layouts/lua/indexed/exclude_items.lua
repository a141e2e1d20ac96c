-- Removes items from a section, all or none.
--
-- ARGV[7]: the section. ARGV[8] and following: the items.
-- Returns {'done'}, {'no section', 'none'} or {'items absent', ITEM, ...}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local _, for_a_time, absent = split(section, 8)
if #absent > 0 then
  return both({'items absent'}, absent)
end
probe(section_key(section))
will_clear(section)
for i = 1, #for_a_time, 2 do
  will_end(section, for_a_time[i], false)
end
if #ARGV >= 8 then
  local change = {
    sections = packed({section}), removed = packed(ARGV, 8), ends = packed(for_a_time),
  }
  will_change(1, 'exclude_items', change)
end

begin(false)
take(section, ARGV, 8)
end_all()
return done({})
