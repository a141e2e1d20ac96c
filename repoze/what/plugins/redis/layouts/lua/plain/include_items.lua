-- Adds items to a section, all or none.
--
-- KEYS[1]: the section. ARGV: the items.
-- Returns {'done'}, {'no section', TYPE} or {'items present', ITEM, ...}.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local refusal = {'items present'}
for _, item in ipairs(ARGV) do
  if redis.call('SISMEMBER', KEYS[1], item) == 1 then
    refusal[#refusal + 1] = item
  end
end
if #refusal > 1 then
  return refusal
elseif #ARGV == 0 then
  return {'done'}
end

-- Without effect, so that a command that is refused is refused before anything is written. SADD is
-- first: where memory is out, a script may write more once it has written.
redis.call('SADD', KEYS[1], redis.call('SRANDMEMBER', KEYS[1]))
redis.call('SREM', KEYS[1], ARGV[1])

call_in_parts('SADD', KEYS[1], ARGV, 1)
-- What marks an empty section goes when an item comes.
redis.call('SREM', KEYS[1], '')
return {'done'}
