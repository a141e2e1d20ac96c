-- What a write probes before it begins, and what it does to memberships that end.

-- The keys that are to be written, by their source: of sets, and of sorted sets.
local probed = {{}, {}}
local probed_ends = {{}, {}}

-- Fails where a key that is to be written has another type or is being moved to another node; begin,
-- where it may not be written.
local function probe(key)
  redis.call('SISMEMBER', key, '')
  table.insert(probed[entered], key)
end

local function probe_ends(key)
  redis.call('ZSCORE', key, '')
  table.insert(probed_ends[entered], key)
end

-- What is in a sorted set, by its name: when it ends, or has ended.
local function ends_at(key)
  local ends = {}
  local reply = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #reply, 2 do
    ends[reply[i]] = tonumber(reply[i + 1])
  end
  return ends
end

-- The names of what has not ended, and the same with their ends in turn.
local function lasting_of(ends)
  local names, with_ends = {}, {}
  for name, ending in pairs(ends) do
    if ending > now() then
      names[#names + 1] = name
      with_ends[#with_ends + 1] = name
      with_ends[#with_ends + 1] = string.format('%.0f', ending)
    end
  end
  return names, with_ends
end

-- What is to end, and when; false is that it is not in for a time any more.
local endings = {}

-- Takes down, for the source that is entered, when an item's membership of a section is to end.
local function will_end(section, item, ending)
  local change = {
    source = entered, section = section, item = item, ending = ending, set_key = item_key(item),
    section_ends_key = section_ends_key(section), item_ends_key = item_ends_key(item),
  }
  probe(change.set_key)
  probe_ends(change.section_ends_key)
  probe_ends(change.item_ends_key)
  endings[#endings + 1] = change
end

-- Takes down that what has ended in a section is to go.
local function will_clear(section)
  local key = section_ends_key(section)
  if redis.call('EXISTS', key) == 1 then
    local ended = string.format('%.0f', now())
    for _, item in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', ended)) do
      will_end(section, item, false)
    end
  end
end

-- Takes down that what is in a section for a time goes, or follows to a new one; what has ended goes.
local function will_move(ends, section, new_section)
  for item, ending in pairs(ends) do
    will_end(section, item, false)
    if new_section and ending > now() then
      will_end(new_section, item, ending)
    end
  end
end

-- Does what will_end has taken down, in that order.
local function end_all()
  for _, change in ipairs(endings) do
    if change.source ~= entered then
      enter(change.source)
    end
    if change.ending then
      local ending = string.format('%.0f', change.ending)
      redis.call('SADD', change.set_key, '')
      redis.call('ZADD', change.item_ends_key, ending, change.section)
      redis.call('ZADD', change.section_ends_key, ending, change.item)
    else
      redis.call('ZREM', change.section_ends_key, change.item)
      redis.call('ZREM', change.item_ends_key, change.section)
      if redis.call('EXISTS', change.item_ends_key) == 0 then
        redis.call('SREM', change.set_key, '')
      end
    end
  end
  if entered ~= 1 then
    enter(1)
  end
end

-- When an item's membership of a section ends, if that is to come.
local function ending_of(section, item)
  local ending = redis.call('ZSCORE', section_ends_key(section), item)
  return ending and tonumber(ending) > now() and tonumber(ending)
end

