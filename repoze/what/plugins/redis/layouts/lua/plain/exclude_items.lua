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
elseif #ARGV == 0 then
  return {'done'}
end

-- Without effect, so that a command that is refused is refused before anything is written; a mark
-- beside items means nothing. SREM is first: where memory is out, a script may add once it has
-- removed, and a right must not stay because memory is out.
redis.call('SREM', KEYS[1], '')
redis.call('SADD', KEYS[1], ARGV[1])

if redis.call('SCARD', KEYS[1]) == #ARGV then
  -- The last items leave: the mark of an empty section stays.
  redis.call('SADD', KEYS[1], '')
end
call_in_parts('SREM', KEYS[1], ARGV, 1)
return {'done'}
