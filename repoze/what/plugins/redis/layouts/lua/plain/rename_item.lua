-- Gives an item another name, in every section.
--
-- ARGV[1]: the item. ARGV[2]: its new name.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local sections = {}
local taken = false
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'set')
  cursor = page[1]
  for _, section in ipairs(page[2]) do
    -- The key '' is no section.
    if section ~= '' then
      local held = redis.call('SMISMEMBER', section, ARGV[1], ARGV[2])
      if held[1] == 1 then
        sections[section] = true
      end
      taken = taken or held[2] == 1
    end
  end
until cursor == '0'
if next(sections) == nil then
  return {'item absent'}
elseif taken then
  return {'item taken'}
end

-- Without effect, so that a command that is refused is refused before anything is written; a mark
-- beside items means nothing.
local first = next(sections)
redis.call('SADD', first, ARGV[1])
redis.call('SREM', first, '')

local reply = {'done'}
for section in pairs(sections) do
  redis.call('SADD', section, ARGV[2])
  redis.call('SREM', section, ARGV[1])
  reply[#reply + 1] = section
end
return reply
