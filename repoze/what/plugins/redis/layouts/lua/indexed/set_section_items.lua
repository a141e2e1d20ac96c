-- Replaces the items of a section.
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
local coming, leaving = {}, {}
for i = 8, #ARGV do
  if is_leaving[ARGV[i]] then
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
if #coming > 0 or #leaving > 0 then
  local change = {sections = packed({section}), added = packed(coming), removed = packed(leaving)}
  will_change(1, 'set_section_items', change)
end

begin(#coming > 0)
call_in_parts('SREM', section_key(section), leaving, 1)
for i = 1, #leaving do
  redis.call('SREM', item_key(leaving[i]), section)
end
call_in_parts('SADD', section_key(section), coming, 1)
for i = 1, #coming do
  redis.call('SADD', item_key(coming[i]), section)
end
return done({})
