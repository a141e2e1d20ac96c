-- Replaces the items of a section.
--
-- KEYS[1]: the section. ARGV: the items that it is to have, possibly none.
-- Returns {'done'} or {'no section', TYPE}.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end

redis.call('DEL', KEYS[1])
call_in_parts('SADD', KEYS[1], ARGV)
if #ARGV == 0 then
  redis.call('SADD', KEYS[1], '')
end
return {'done'}
