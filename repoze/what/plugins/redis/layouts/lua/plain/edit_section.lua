-- Gives a section another name.
--
-- KEYS[1]: the section. KEYS[2]: its new name.
-- Returns {'done'}, {'no section', TYPE} or {'section present'}; a WRONGTYPE error where the new
-- name is that of a key which is no section.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local other = redis.call('TYPE', KEYS[2]).ok
if other == 'set' then
  return {'section present'}
elseif other ~= 'none' then
  return redis.error_reply('WRONGTYPE the key of the new name holds a ' .. other .. ', not a set')
end

redis.call('RENAME', KEYS[1], KEYS[2])
return {'done'}
