-- What an item is in, in the source that is entered: to remove it everywhere, or to give it another name.

-- `indexed`: what its set says, the mark among it; `named`: without that. `sections`: those which have it, too. `ends`: by
-- section, when each ends that its sorted set has. `lasting`: those of that which have not ended, and which
-- the section has, too. `with_ends`: these, with their ends in turn. What the index alone says is not made
-- true.
local function memberships_of(item)
  local found = {
    indexed = redis.call('SMEMBERS', item_key(item)), ends = ends_at(item_ends_key(item)),
    lasting = {}, with_ends = {},
  }
  found.named = without_mark(found.indexed)
  found.sections = sections_with(item, found.named)
  for section, ending in pairs(found.ends) do
    -- The section's, where the index has another.
    local there = ending_of(section, item)
    if ending > now() and there and has_section(section) then
      ending = math.min(ending, there)
      found.lasting[#found.lasting + 1] = section
      found.with_ends[#found.with_ends + 1] = section
      found.with_ends[#found.with_ends + 1] = string.format('%.0f', ending)
    end
  end
  found.all = both(found.sections, found.lasting)
  return found
end

local function is_in_any(item)
  return #without_mark(redis.call('SMEMBERS', item_key(item))) > 0
    or #lasting(item_ends_key(item)) > 0
end

-- Takes down that an item goes from some sections, and from all that it is in for a time; and probes the
-- keys of that.
local function will_leave(item, found, sections)
  for i = 1, #sections do
    probe(section_key(sections[i]))
  end
  probe(item_key(item))
  for section in pairs(found.ends) do
    will_end(section, item, false)
  end
end

-- Removes an item from all that it is in for good.
local function leave(item, found)
  for i = 1, #found.named do
    redis.call('SREM', section_key(found.named[i]), item)
  end
  call_in_parts('SREM', item_key(item), found.indexed, 1)
end

-- Takes down that an item gets another name, which may be in some of its sections: for as long as either
-- is; and probes the keys of that.
local function will_rename(item, new_item, found)
  will_leave(item, found, found.sections)
  probe(item_key(new_item))
  for i = 1, #found.sections do
    -- What is over by now goes, too.
    if redis.call('ZSCORE', section_ends_key(found.sections[i]), new_item) then
      will_end(found.sections[i], new_item, false)
    end
  end
  for i = 1, #found.with_ends, 2 do
    local section, ending = found.with_ends[i], tonumber(found.with_ends[i + 1])
    if redis.call('SISMEMBER', section_key(section), new_item) == 0 then
      will_end(section, new_item, math.max(ending, ending_of(section, new_item) or 0))
    end
  end
end

-- Puts a new name in the place of an item in all that it is in for good.
local function rename(item, new_item, found)
  for i = 1, #found.sections do
    redis.call('SADD', section_key(found.sections[i]), new_item)
  end
  call_in_parts('SADD', item_key(new_item), found.sections, 1)
  for i = 1, #found.sections do
    redis.call('SREM', section_key(found.sections[i]), item)
  end
  call_in_parts('SREM', item_key(item), found.indexed, 1)
end

