-- The sections that any of the given items is in.
--
-- ARGV: the items, at least one.
-- Returns the names of the sections; one may be named twice, as SCAN may visit a key twice.
--
-- One pass over the sets of the database. SCAN rather than KEYS, which ACLs count as dangerous, and
-- with TYPE, so that whatever else lies there is passed over. Nothing can be written between the
-- calls of a script, so the pass sees one moment.

local call = redis.call
local item = ARGV[1]
local is_one = #ARGV == 1

local function holds_any(section)
  -- Lua's unpack takes a little less than 8,000 values.
  for first = 1, #ARGV, 5000 do
    local held = call('SMISMEMBER', section, unpack(ARGV, first, math.min(first + 4999, #ARGV)))
    for i = 1, #held do
      if held[i] == 1 then
        return true
      end
    end
  end
  return false
end

local found = {}
local cursor = '0'
repeat
  local page = call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'set')
  cursor = page[1]
  local sections = page[2]
  if is_one then
    -- By far the commonest question, so without a call of a function for each section.
    for i = 1, #sections do
      if call('SISMEMBER', sections[i], item) == 1 then
        found[#found + 1] = sections[i]
      end
    end
  else
    for i = 1, #sections do
      if holds_any(sections[i]) then
        found[#found + 1] = sections[i]
      end
    end
  end
until cursor == '0'
return found
