-- Removes items from a section, all or none.
--
-- KEYS[1]: the section. ARGV: the items.
-- Returns {'done'}, {'no section', TYPE} or {'items absent', ITEM, ...}.

local section = KEYS[1]
local kind = redis.call('TYPE', section).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local absent = items_held(section, 0, 'items absent')
if #absent > 1 then
  return absent
elseif #ARGV == 0 then
  return {'done'}
end

try_to_remove(section, ARGV[1])
if redis.call('SCARD', section) == #ARGV then
  -- The last items leave: the mark of an empty section stays.
  redis.call('SADD', section, '')
end
call_in_parts('SREM', section, ARGV, 1)
return {'done'}
