-- What a write has to know of a section and of lists of names.

-- The items of a section that goes, or gets another name, and by item when those in it for a time end, or
-- have ended; and probes the keys of all that is so written.
local function probe_section(section)
  local items = redis.call('SMEMBERS', section_key(section))
  for i = 1, #items do
    probe(item_key(items[i]))
  end
  probe(KEYS[entered])
  probe(section_key(section))
  return items, ends_at(section_ends_key(section))
end

-- Those of ARGV from the first-th on that a section has for good, those that it has for a time with their
-- ends in turn, and those that it lacks; and probes the keys of all.
local function split(section, first)
  local has_ends = redis.call('EXISTS', section_ends_key(section)) == 1
  local for_good, for_a_time, lacking = {}, {}, {}
  for i = first, #ARGV do
    probe(item_key(ARGV[i]))
    if redis.call('SISMEMBER', section_key(section), ARGV[i]) == 1 then
      for_good[#for_good + 1] = ARGV[i]
    else
      local ending = has_ends and ending_of(section, ARGV[i])
      if ending then
        for_a_time[#for_a_time + 1] = ARGV[i]
        for_a_time[#for_a_time + 1] = string.format('%.0f', ending)
      else
        lacking[#lacking + 1] = ARGV[i]
      end
    end
  end
  return for_good, for_a_time, lacking
end

-- Puts items into a section, and takes them out of one, for good: those of a list from the first-th on.
local function put(section, items, first)
  call_in_parts('SADD', section_key(section), items, first or 1)
  for i = first or 1, #items do
    redis.call('SADD', item_key(items[i]), section)
  end
end

local function take(section, items, first)
  call_in_parts('SREM', section_key(section), items, first or 1)
  for i = first or 1, #items do
    redis.call('SREM', item_key(items[i]), section)
  end
end

-- What is in two lists, in one.
local function both(names, others)
  local list = {}
  for _, each in ipairs({names, others}) do
    for i = 1, #each do
      list[#list + 1] = each[i]
    end
  end
  return list
end

-- The names of a list but for the empty one, which is the mark.
local function without_mark(names)
  local found = {}
  for i = 1, #names do
    if names[i] ~= '' then
      found[#found + 1] = names[i]
    end
  end
  return found
end

-- The refusal to add items that are in a section: {'items present', ITEM, ...}, or where some are for a
-- time {'present for a time', ITEM, END, ...}, without an end for the others.
local function refusal_of(for_good, for_a_time)
  if #for_a_time == 0 then
    return both({'items present'}, for_good)
  end
  local reply = both({'present for a time'}, for_a_time)
  for i = 1, #for_good do
    reply[#reply + 1] = for_good[i]
    reply[#reply + 1] = ''
  end
  return reply
end

