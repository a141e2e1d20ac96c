-- Some of the sections, each with its items.
--
-- KEYS[1]: the key of the section names.
-- ARGV[1]: where the page begins: 0 for the first, else what the page before it returned.
-- ARGV[2]: about how many sections to return.
-- Returns where the next page begins (0 after the last), then the name of a section, its items, the
-- name of another, its items, ...

local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = {page[1]}
for _, section in ipairs(page[2]) do
  reply[#reply + 1] = section
  reply[#reply + 1] = items_of(KEYS[1], section)
end
return reply
