-- Removes an item from every section.
--
-- ARGV[1]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local item = ARGV[1]
local sections = {}
each_section(function(section)
  if redis.call('SISMEMBER', section, item) == 1 then
    sections[section] = true
  end
end)
if not next(sections) then
  return {'item absent'}
end

local is_last = {}
for section in pairs(sections) do
  try_to_remove(section, item)
  -- Asked here, where nothing is written yet: this, too, may be refused.
  is_last[section] = redis.call('SCARD', section) == 1
end
local reply = {'done'}
for section in pairs(sections) do
  if is_last[section] then
    redis.call('SADD', section, '')
  end
  redis.call('SREM', section, item)
  reply[#reply + 1] = section
end
return reply
