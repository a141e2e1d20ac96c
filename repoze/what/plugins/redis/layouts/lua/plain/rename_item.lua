-- Gives an item another name, in every section.
--
-- ARGV[1]: the item. ARGV[2]: its new name. ARGV[3]: there where that may be an item already.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local item, new_item, is_merging = ARGV[1], ARGV[2], ARGV[3]
local sections = {}
local is_taken = false
each_section(function(section)
  local held = redis.call('SMISMEMBER', section, item, new_item)
  if held[1] == 1 then
    sections[section] = true
  end
  is_taken = is_taken or held[2] == 1
end)
if not next(sections) then
  return {'item absent'}
elseif is_taken and not is_merging then
  return {'item taken'}
end

for section in pairs(sections) do
  try_to_add(section, item, '')
end
local reply = {'done'}
for section in pairs(sections) do
  redis.call('SADD', section, new_item)
  redis.call('SREM', section, item)
  reply[#reply + 1] = section
end
return reply
