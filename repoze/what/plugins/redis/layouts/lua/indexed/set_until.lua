-- Says anew when an item's membership of a section ends.
--
-- ARGV[7]: the section. ARGV[8]: when it ends, as ending.lua has it, or '' for never. ARGV[9]: the item.
-- Returns {'done'}, {'no section', 'none'}, {'items absent', ITEM} or {'past', NOW}.

local section, item = ARGV[7], ARGV[9]
if not has_section(section) then
  return {'no section', 'none'}
end
local ending, refusal = ending_from(ARGV[8])
if refusal then
  return refusal
end
local _, for_a_time, lacking = split(section, 9)
if #lacking > 0 then
  return {'items absent', item}
end
probe(section_key(section))
local before = tonumber(for_a_time[2]) or false
will_clear(section)
will_end(section, item, ending or false)
if before ~= (ending or false) then
  will_change(1, 'set_until', {
    sections = packed({section}),
    ends = packed({item, ending and string.format('%.0f', ending) or '-'}),
    ends_before = packed({item, for_a_time[2] or '-'}),
  })
end

begin(not ending or ending > (before or math.huge))
if ending then
  take(section, {item})
else
  put(section, {item})
end
end_all()
return done({})
