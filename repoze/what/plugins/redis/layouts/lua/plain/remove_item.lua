-- Removes an item from every section.
--
-- ARGV[1]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local sections = {}
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'set')
  cursor = page[1]
  for _, section in ipairs(page[2]) do
    -- The key '' is no section.
    if section ~= '' and redis.call('SISMEMBER', section, ARGV[1]) == 1 then
      -- SCAN may visit a key twice.
      sections[section] = true
    end
  end
until cursor == '0'
local first = next(sections)
if not first then
  return {'item absent'}
end

-- Without effect, so that a command that is refused is refused before anything is written; a mark
-- beside items means nothing. SREM is first: where memory is out, a script may add once it has
-- removed, and a right must not stay because memory is out.
redis.call('SREM', first, '')
redis.call('SADD', first, ARGV[1])

local reply = {'done'}
for section in pairs(sections) do
  if redis.call('SCARD', section) == 1 then
    redis.call('SADD', section, '')
  end
  redis.call('SREM', section, ARGV[1])
  reply[#reply + 1] = section
end
return reply
