-- The items of a section, of the source whose section names have the key `sections`.

local function key_of_items(sections, section)
  return string.sub(sections, 1, -2) .. ':' .. section
end

local function ends_key_of(sections, section)
  return string.sub(sections, 1, -2) .. '-until:' .. section
end

-- Those that are in it for a time, which has not come.
local function lasting_items_of(sections, section)
  return lasting(ends_key_of(sections, section))
end

local function items_of(sections, section)
  local items = redis.call('SMEMBERS', key_of_items(sections, section))
  local ending = lasting_items_of(sections, section)
  for i = 1, #ending do
    items[#items + 1] = ending[i]
  end
  return items
end

