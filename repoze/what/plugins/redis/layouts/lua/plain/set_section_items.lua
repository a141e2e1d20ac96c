-- Replaces the items of a section.
--
-- KEYS[1]: the section. ARGV: the items that it is to have, possibly none.
-- Returns {'done'} or {'no section', TYPE}.

local section = KEYS[1]
local kind = redis.call('TYPE', section).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local members = redis.call('SMEMBERS', section)
local is_missing = {}
for _, item in ipairs(ARGV) do
  is_missing[item] = true
end
-- The mark of an empty section is what is wanted of one.
is_missing[''] = #ARGV == 0 or nil
local unwanted, missing = {}, {}
for _, member in ipairs(members) do
  if not is_missing[member] then
    unwanted[#unwanted + 1] = member
  end
  is_missing[member] = nil
end
for item in pairs(is_missing) do
  missing[#missing + 1] = item
end

if #missing > 0 then
  if #ARGV > 0 then
    try_to_add(section, members[1], missing[1])
  else
    -- The mark alone is missing: taking all away is not refused where memory is out.
    try_to_remove(section, members[1])
  end
end
call_in_parts('SADD', section, missing, 1)
call_in_parts('SREM', section, unwanted, 1)
return {'done'}
