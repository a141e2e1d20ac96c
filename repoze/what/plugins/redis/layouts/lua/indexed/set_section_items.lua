-- Replaces the items of a section.
--
-- ARGV[3]: the section. ARGV[4] and following: the items that it is to have, possibly none.
-- Returns {'done'} or {'no section', 'none'}.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 0 then
  return {'no section', 'none'}
end
local section_key = prefix .. 'section:' .. ARGV[3]
local is_leaving = {}
for _, item in ipairs(redis.call('SMEMBERS', section_key)) do
  is_leaving[item] = true
end
local coming = {}
for i = 4, #ARGV do
  if is_leaving[ARGV[i]] then
    is_leaving[ARGV[i]] = nil
  else
    coming[#coming + 1] = ARGV[i]
  end
end
local leaving = {}
for item in pairs(is_leaving) do
  leaving[#leaving + 1] = item
end
for i = 1, #leaving do
  redis.call('SISMEMBER', prefix .. 'item:' .. leaving[i], ARGV[3])
end
for i = 1, #coming do
  redis.call('SISMEMBER', prefix .. 'item:' .. coming[i], ARGV[3])
end

begin(#coming > 0)
call_in_parts('SREM', section_key, leaving, 1)
for i = 1, #leaving do
  redis.call('SREM', prefix .. 'item:' .. leaving[i], ARGV[3])
end
call_in_parts('SADD', section_key, coming, 1)
for i = 1, #coming do
  redis.call('SADD', prefix .. 'item:' .. coming[i], ARGV[3])
end
return done({})
