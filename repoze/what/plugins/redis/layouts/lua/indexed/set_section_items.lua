-- Replaces the items of a section. An item that is in it for a time, and is to stay, stays for that time.
--
-- ARGV[7]: the section. ARGV[8] and following: the items that it is to have, possibly none.
-- Returns {'done'} or {'no section', 'none'}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local is_leaving = {}
for _, item in ipairs(redis.call('SMEMBERS', section_key(section))) do
  is_leaving[item] = true
end
local ends = ends_at(section_ends_key(section))
local coming, leaving = {}, {}
for i = 8, #ARGV do
  local ending = ends[ARGV[i]]
  if ending and ending > now() then
    ends[ARGV[i]] = nil
  elseif is_leaving[ARGV[i]] then
    is_leaving[ARGV[i]] = nil
  else
    coming[#coming + 1] = ARGV[i]
    probe(item_key(ARGV[i]))
  end
end
for item in pairs(is_leaving) do
  leaving[#leaving + 1] = item
  probe(item_key(item))
end
probe(section_key(section))
local in_for_a_time, with_ends = lasting_of(ends)
will_move(ends, section)
if #coming > 0 or #leaving > 0 or #in_for_a_time > 0 then
  will_change(1, 'set_section_items', {
    sections = packed({section}), added = packed(coming), ends = packed(with_ends),
    removed = packed(both(leaving, in_for_a_time)),
  })
end

begin(#coming > 0)
take(section, leaving)
put(section, coming)
end_all()
return done({})
