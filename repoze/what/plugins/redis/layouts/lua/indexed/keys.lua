-- Where things lie in a source, and which of them there are.

-- What follows is of the source that is entered.
local function section_key(section)
  return prefixes[entered] .. 'section:' .. section
end

local function item_key(item)
  return prefixes[entered] .. 'item:' .. item
end

-- The keys of when what is in a section, or what an item is in, ends.
local function section_ends_key(section)
  return prefixes[entered] .. 'section-until:' .. section
end

local function item_ends_key(item)
  return prefixes[entered] .. 'item-until:' .. item
end

local function has_section(section)
  return redis.call('SISMEMBER', KEYS[entered], section) == 1
end

-- Those of sections that have an item: not what the index alone says.
local function sections_with(item, sections)
  local having = {}
  for i = 1, #sections do
    if redis.call('SISMEMBER', section_key(sections[i]), item) == 1 and has_section(sections[i]) then
      having[#having + 1] = sections[i]
    end
  end
  return having
end

