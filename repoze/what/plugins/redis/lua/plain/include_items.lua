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
end

call_in_parts('SADD', KEYS[1], ARGV)
if #ARGV > 0 then
  -- What marks an empty section goes when an item comes.
  redis.call('SREM', KEYS[1], '')
end
return {'done'}
