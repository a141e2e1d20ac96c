-- Removes a section with its items.
--
-- KEYS[1]: the section.
-- Returns {'done'} or {'no section', TYPE}.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end

redis.call('DEL', KEYS[1])
return {'done'}
