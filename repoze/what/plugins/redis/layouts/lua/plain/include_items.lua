-- Adds items to a section, all or none.
--
-- KEYS[1]: the section. ARGV: the items.
-- Returns {'done'}, {'no section', TYPE} or {'items present', ITEM, ...}.

local section = KEYS[1]
local kind = redis.call('TYPE', section).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local present = items_held(section, 1, 'items present')
if #present > 1 then
  return present
elseif #ARGV == 0 then
  return {'done'}
end

try_to_add(section, redis.call('SRANDMEMBER', section), ARGV[1])
call_in_parts('SADD', section, ARGV, 1)
-- What marks an empty section goes when an item comes.
redis.call('SREM', section, '')
return {'done'}
