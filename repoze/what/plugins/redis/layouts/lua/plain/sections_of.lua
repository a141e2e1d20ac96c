-- The sections of the selected database that any of some items is in.
--
-- One pass over the sets of the database. SCAN rather than KEYS, which ACLs count as dangerous, and
-- with TYPE, so that whatever else lies there is passed over. Nothing can be written between the
-- calls of a script, so the pass sees one moment.

local call = redis.call

local function holds_any(section, items)
  -- Lua's unpack takes a little less than 8,000 values.
  for first = 1, #items, 5000 do
    local held = call('SMISMEMBER', section, unpack(items, first, math.min(first + 4999, #items)))
    for i = 1, #held do
      if held[i] == 1 then
        return true
      end
    end
  end
  return false
end

-- The names of the sections that any of items, at least one, is in; one may be named twice, as SCAN
-- may visit a key twice.
local function sections_of(items)
  local found = {}
  local item = #items == 1 and items[1]
  local cursor = '0'
  repeat
    local page = call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'set')
    cursor = page[1]
    local sections = page[2]
    if item then
      -- By far the commonest question, so without a call of a function for each section.
      for i = 1, #sections do
        if call('SISMEMBER', sections[i], item) == 1 then
          found[#found + 1] = sections[i]
        end
      end
    else
      for i = 1, #sections do
        if holds_any(sections[i], items) then
          found[#found + 1] = sections[i]
        end
      end
    end
  until cursor == '0'
  return found
end

