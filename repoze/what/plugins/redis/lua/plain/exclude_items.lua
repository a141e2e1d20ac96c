-- Removes items from a section, all or none.
--
-- KEYS[1]: the section. ARGV: the items.
-- Returns {'done'}, {'no section', TYPE} or {'items absent', ITEM, ...}.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local refusal = {'items absent'}
for _, item in ipairs(ARGV) do
  if redis.call('SISMEMBER', KEYS[1], item) == 0 then
    refusal[#refusal + 1] = item
  end
end
if #refusal > 1 then
  return refusal
end

-- Removed before the mark is set: a server that is out of memory refuses SADD as a script's first
-- write, and must not refuse to take a permission away.
call_in_parts('SREM', KEYS[1], ARGV)
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SADD', KEYS[1], '')
end
return {'done'}
