-- Adds a section without items.
--
-- KEYS[1]: the section.
-- Returns {'done'} or {'section present'}; a WRONGTYPE error where the key is no section.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'set' then
  return {'section present'}
elseif kind ~= 'none' then
  return redis.error_reply('WRONGTYPE the key holds a ' .. kind .. ', not a set')
end

-- Redis has no empty set: the empty member stands for the lack of items.
redis.call('SADD', KEYS[1], '')
return {'done'}
