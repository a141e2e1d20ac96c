-- Replaces the items of a section.
--
-- KEYS[1]: the section. ARGV: the items that it is to have, possibly none.
-- Returns {'done'} or {'no section', TYPE}.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' then
  return {'no section', kind}
end
local members = redis.call('SMEMBERS', KEYS[1])
local is_wanted = {}
for _, item in ipairs(ARGV) do
  is_wanted[item] = true
end
-- The mark of an empty section is what is wanted of one.
is_wanted[''] = #ARGV == 0 or nil
local unwanted = {}
for _, member in ipairs(members) do
  if not is_wanted[member] then
    unwanted[#unwanted + 1] = member
  end
  is_wanted[member] = nil
end
local missing = {}
for item in pairs(is_wanted) do
  missing[#missing + 1] = item
end

if #missing > 0 then
  -- Without effect, so that a command that is refused is refused before anything is written. Where
  -- memory is out, what comes first decides: adding items is refused, taking all away is not.
  if #ARGV > 0 then
    redis.call('SADD', KEYS[1], members[1])
  end
  redis.call('SREM', KEYS[1], missing[1])
  redis.call('SADD', KEYS[1], members[1])
end

call_in_parts('SADD', KEYS[1], missing, 1)
call_in_parts('SREM', KEYS[1], unwanted, 1)
return {'done'}
