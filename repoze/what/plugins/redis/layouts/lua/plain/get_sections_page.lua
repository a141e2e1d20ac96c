-- Some of the sections, each with its items.
--
-- ARGV[1]: where the page begins: 0 for the first, else what the page before it returned.
-- ARGV[2]: about how many keys to look at.
-- Returns where the next page begins (0 after the last), then the name of a section, its members,
-- the name of another, its members, ...

local page = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2], 'TYPE', 'set')
local reply = {page[1]}
for _, section in ipairs(page[2]) do
  reply[#reply + 1] = section
  reply[#reply + 1] = redis.call('SMEMBERS', section)
end
return reply
