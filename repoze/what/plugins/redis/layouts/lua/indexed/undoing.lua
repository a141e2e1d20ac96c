-- Takes back what an entry of the history tells of: what that takes, in one source.
--
-- ARGV[7]: the token of the change. From ARGV[8] on, for each source: the id of the entry of that change,
-- and the token of the latest change that the sender has read of; both '' where the source has no part in
-- it. An id alone tells nothing: after a failover it may be given again.
--
-- Who sends it has looked at all later changes. So it is refused where the history has gone on since.
-- That the sources are as the change has left them is looked at all the same: not everything that is
-- written is in the history.

local TAKEN_BACK = ARGV[7]

-- What the operations of today make of the sections where the entry does not say.
local EFFECTS = {create_section = 'created', edit_section = 'renamed', delete_section = 'deleted'}

-- The names in a text of packed.
local function names_in(text)
  local names = {}
  local break_at = string.find(text, '\n', 1, true)
  if break_at then
    local from = break_at + 1
    for length in string.gmatch(string.sub(text, 1, break_at), '%d+') do
      names[#names + 1] = string.sub(text, from, from + length - 1)
      from = from + length
    end
  end
  return names
end

local function set_of(names)
  local set = {}
  for i = 1, #names do
    set[names[i]] = true
  end
  return set
end

local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields
end

-- The fields of the entry, or nothing and what to answer; nothing at all where the source has no part.
local function entry_of(number)
  local id, latest_token = ARGV[6 + 2 * number], ARGV[7 + 2 * number]
  if id == '' then
    return
  end
  local key = prefixes[number] .. 'history'
  enter(number)
  local latest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  local entry = redis.call('XRANGE', key, id, id)[1]
  enter(1)
  if not latest or fields_of(latest).token ~= latest_token or not entry then
    return nil, {'gone on'}
  end
  local fields = fields_of(entry)
  if fields.token ~= TAKEN_BACK then
    return nil, {'gone on'}
  end
  fields.effect = fields.effect or EFFECTS[fields.operation]
    or (fields.new_section ~= '' and 'renamed') or 'changed'
  return fields
end

-- These are about an item in its sections: by these they say when it ends.
local OF_AN_ITEM = {remove_item = true, rename_item = true, rename_group = true, delete_group = true}

-- By name, when what is in a text of packed ends; false is that it is for good.
local function ends_in(text)
  local ends, with_ends = {}, names_in(text or '')
  for i = 1, #with_ends, 2 do
    ends[with_ends[i]] = tonumber(with_ends[i + 1]) or false
  end
  return ends
end

-- Whether an item is in a section for as long as was noted: for good where no end was. What is over by now
-- is not in it.
local function is_as_noted(section, item, ending)
  local is_for_good = redis.call('SISMEMBER', section_key(section), item) == 1
  if not ending then
    return is_for_good
  elseif ending <= now() then
    return not is_for_good and not ending_of(section, item)
  end
  return not is_for_good and ending_of(section, item) == ending
end

local function is_in(section, item)
  return redis.call('SISMEMBER', section_key(section), item) == 1 or ending_of(section, item)
end

-- Of items, those that are for good; and those that have an end, and are not over, with it in turn.
local function parted(items, ends)
  local for_good, with_ends = {}, {}
  for i = 1, #items do
    local ending = ends[items[i]]
    if not ending then
      for_good[#for_good + 1] = items[i]
    elseif ending > now() then
      with_ends[#with_ends + 1] = items[i]
      with_ends[#with_ends + 1] = string.format('%.0f', ending)
    end
  end
  return for_good, with_ends
end

local function names_of(with_ends)
  local names = {}
  for i = 1, #with_ends, 2 do
    names[#names + 1] = with_ends[i]
  end
  return names
end

local function left_behind()
  return redis.error_reply('INCONSISTENT there are items of a section that is not there')
end

-- By what a change has made of its sections: what takes that back, in the source that is entered. Each
-- returns what it changes, as will_change takes it, what does it, and whether that adds anything; or nothing
-- and what to answer.
local BACK = {}

function BACK.created(entry)
  local section, items = names_in(entry.sections)[1], names_in(entry.added)
  if not has_section(section) then
    return nil, {'no section now', section}
  end
  local key, is_known, ends = section_key(section), set_of(items), ends_in(entry.ends)
  local members, current_ends = redis.call('SMEMBERS', key), ends_at(section_ends_key(section))
  for _, item in ipairs(both(members, lasting_of(current_ends))) do
    if not is_known[item] then
      return nil, {'also there', section, item}
    end
  end
  for i = 1, #items do
    if not is_as_noted(section, items[i], ends[items[i]]) then
      return nil, {'not there', section, items[i]}
    end
  end
  for i = 1, #members do
    probe(item_key(members[i]))
  end
  probe(KEYS[entered])
  probe(key)
  will_move(current_ends, section)
  local _, with_ends = parted(items, ends)
  return {
    effect = 'deleted', sections = entry.sections, removed = packed(both(members, names_of(with_ends))),
    ends = packed(with_ends),
  }, function()
    take(section, members)
    redis.call('SREM', KEYS[entered], section)
  end, false
end

function BACK.deleted(entry)
  local section = names_in(entry.sections)[1]
  local items, with_ends = parted(names_in(entry.removed), ends_in(entry.ends))
  if has_section(section) then
    return nil, {'section there again', section}
  elseif redis.call('EXISTS', section_key(section), section_ends_key(section)) > 0 then
    return nil, left_behind()
  end
  for i = 1, #items do
    probe(item_key(items[i]))
  end
  probe(KEYS[entered])
  probe(section_key(section))
  for i = 1, #with_ends, 2 do
    will_end(section, with_ends[i], tonumber(with_ends[i + 1]))
  end
  return {
    effect = 'created', sections = entry.sections, added = packed(both(items, names_of(with_ends))),
    ends = packed(with_ends),
  }, function()
    redis.call('SADD', KEYS[entered], section)
    put(section, items)
  end, true
end

function BACK.renamed(entry)
  local old, new = names_in(entry.sections)[1], entry.new_section
  if not has_section(new) then
    return nil, {'no section now', new}
  elseif has_section(old) then
    return nil, {'section there again', old}
  elseif redis.call('EXISTS', section_key(old), section_ends_key(old)) > 0 then
    return nil, left_behind()
  end
  local items, ends = probe_section(new)
  probe(section_key(old))
  will_move(ends, new, old)
  return {effect = 'renamed', sections = packed({new}), new_section = old}, function()
    put(old, items)
    take(new, items)
    redis.call('SADD', KEYS[entered], old)
    redis.call('SREM', KEYS[entered], new)
  end, true
end

-- Takes back that an end was set.
local function set_back(entry)
  local section, item = names_in(entry.sections)[1], names_in(entry.ends)[1]
  local ending, before = ends_in(entry.ends)[item], ends_in(entry.ends_before)[item]
  if not has_section(section) then
    return nil, {'no section now', section}
  elseif not is_as_noted(section, item, ending) then
    return nil, {ending and ending <= now() and 'there again' or 'not there', section, item}
  end
  probe(section_key(section))
  probe(item_key(item))
  will_end(section, item, before and before > now() and before)
  return {
    effect = 'changed', sections = entry.sections, ends = entry.ends_before, ends_before = entry.ends,
  }, function()
    if before then
      take(section, {item})
    else
      put(section, {item})
    end
  end, not before or before > (ending or math.huge)
end

function BACK.changed(entry)
  if (entry.ends_before or '') ~= '' then
    return set_back(entry)
  end
  local outgoing, incoming = names_in(entry.added), names_in(entry.removed)
  local is_of_item = OF_AN_ITEM[entry.undone_operation or entry.operation]
  local ends = ends_in(entry.ends)
  -- The sections that had what comes out now, so that it stays; and those that have what comes in.
  local stays_in = set_of(names_in(entry.had_added or ''))
  local is_still_in = set_of(names_in(entry.kept_removed or ''))
  local sections, steps, with_ends = {}, {}, {}
  local is_out, is_back = {}, {}
  for _, section in ipairs(names_in(entry.sections)) do
    if not has_section(section) then
      return nil, {'no section now', section}
    end
    local step = {section = section, out = {}, back = {}}
    will_clear(section)
    local is_changed = false
    -- Notes that an item goes out of the section, or comes back; what is over by now does neither.
    local function note(item, list, goes_to, is_moving, ending)
      if ending and ending <= now() then
        return
      end
      goes_to[item], is_changed = true, true
      if ending then
        local name = is_of_item and section or item
        with_ends[#with_ends + 1] = name
        with_ends[#with_ends + 1] = string.format('%.0f', ending)
      end
      if not is_moving then
        return
      elseif ending then
        will_end(section, item, list == step.back and ending)
      else
        list[#list + 1] = item
        probe(item_key(item))
      end
    end
    for i = 1, #outgoing do
      local item = outgoing[i]
      local ending = ends[is_of_item and section or item]
      if stays_in[section] and not is_in(section, item)
        or not stays_in[section] and not is_as_noted(section, item, ending) then
        return nil, {'not there', section, item}
      end
      note(item, step.out, is_out, not stays_in[section], ending)
    end
    for i = 1, #incoming do
      local item = incoming[i]
      if (is_in(section, item) and true or false) ~= (is_still_in[section] or false) then
        return nil, {is_still_in[section] and 'not there' or 'there again', section, item}
      end
      note(item, step.back, is_back, not is_still_in[section], ends[is_of_item and section or item])
    end
    if is_changed then
      probe(section_key(section))
      sections[#sections + 1] = section
      steps[#steps + 1] = step
    end
  end
  local function those(names, are_in)
    local found = {}
    for i = 1, #names do
      if are_in[names[i]] then
        found[#found + 1] = names[i]
      end
    end
    return packed(found)
  end
  local change = {
    effect = 'changed', sections = #sections > 0 and packed(sections) or entry.sections,
    added = those(incoming, is_back), removed = those(outgoing, is_out), ends = packed(with_ends),
    had_added = entry.kept_removed, kept_removed = entry.had_added,
  }
  return change, function()
    for _, step in ipairs(steps) do
      take(step.section, step.out)
      put(step.section, step.back)
    end
  end, next(is_back) ~= nil
end

-- Looks at what an entry tells of, and notes that it is taken back. Returns what does that, and whether it
-- adds anything; or nothing and what to answer.
local function taking_back(number, entry)
  enter(number)
  local change, write, is_adding = BACK[entry.effect](entry)
  enter(1)
  if not change then
    return nil, write
  end
  change.undoes = TAKEN_BACK
  change.undone_operation = entry.undone_operation or entry.operation
  change.is_joint = entry.is_joint
  will_change(number, 'undo', change)
  return function()
    enter(number)
    write()
    enter(1)
  end, is_adding
end

