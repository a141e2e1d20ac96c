-- Adds items to a section, all or none.
--
-- ARGV[7]: the section. ARGV[8]: when they end, as ending.lua has it, or '' for never. ARGV[9] and following:
-- the items.
-- Returns {'done'}, {'no section', 'none'}, {'items present', ITEM, ...}, {'present for a time', ITEM, END,
-- ...} or {'past', NOW}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local ending, refusal = ending_from(ARGV[8])
if refusal then
  return refusal
end
local for_good, for_a_time = split(section, 9)
if #for_good > 0 or #for_a_time > 0 then
  return refusal_of(for_good, for_a_time)
end
probe(section_key(section))
will_clear(section)
local ends = {}
if ending then
  for i = 9, #ARGV do
    will_end(section, ARGV[i], ending)
    ends[#ends + 1] = ARGV[i]
    ends[#ends + 1] = string.format('%.0f', ending)
  end
end
if #ARGV >= 9 then
  local change = {sections = packed({section}), added = packed(ARGV, 9), ends = packed(ends)}
  will_change(1, 'include_items', change)
end

begin(true)
if not ending then
  put(section, ARGV, 9)
end
end_all()
return done({})
