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
  local key = string.sub(KEYS[number], 1, -1 - #'sections') .. 'history'
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

-- The keys of a source.
local function keys_of(number)
  local start = string.sub(KEYS[number], 1, -1 - #'sections')
  return {
    names = KEYS[number],
    section = function(section)
      return start .. 'section:' .. section
    end,
    item = function(item)
      return start .. 'item:' .. item
    end,
    has = function(section)
      return redis.call('SISMEMBER', KEYS[number], section) == 1
    end,
  }
end

local function left_behind()
  return redis.error_reply('INCONSISTENT there are items of a section that is not there')
end

-- By what a change has made of its sections: what takes that back. Each returns what it changes, as
-- will_change takes it, what does it, and whether that adds anything; or nothing and what to answer.
local BACK = {}

function BACK.created(keys, entry)
  local section, items = names_in(entry.sections)[1], names_in(entry.added)
  if not keys.has(section) then
    return nil, {'no section now', section}
  end
  local key, is_known = keys.section(section), set_of(items)
  local members = redis.call('SMEMBERS', key)
  for i = 1, #members do
    if not is_known[members[i]] then
      return nil, {'also there', section, members[i]}
    end
    probe(keys.item(members[i]))
  end
  if #members < #items then
    local is_there = set_of(members)
    for i = 1, #items do
      if not is_there[items[i]] then
        return nil, {'not there', section, items[i]}
      end
    end
  end
  probe(keys.names)
  probe(key)
  return {effect = 'deleted', sections = entry.sections, removed = entry.added}, function()
    for i = 1, #items do
      redis.call('SREM', keys.item(items[i]), section)
    end
    call_in_parts('SREM', key, items, 1)
    redis.call('SREM', keys.names, section)
  end, false
end

function BACK.deleted(keys, entry)
  local section, items = names_in(entry.sections)[1], names_in(entry.removed)
  local key = keys.section(section)
  if keys.has(section) then
    return nil, {'section there again', section}
  elseif redis.call('EXISTS', key) == 1 then
    return nil, left_behind()
  end
  for i = 1, #items do
    probe(keys.item(items[i]))
  end
  probe(keys.names)
  probe(key)
  return {effect = 'created', sections = entry.sections, added = entry.removed}, function()
    redis.call('SADD', keys.names, section)
    call_in_parts('SADD', key, items, 1)
    for i = 1, #items do
      redis.call('SADD', keys.item(items[i]), section)
    end
  end, true
end

function BACK.renamed(keys, entry)
  local old, new = names_in(entry.sections)[1], entry.new_section
  local key, old_key = keys.section(new), keys.section(old)
  if not keys.has(new) then
    return nil, {'no section now', new}
  elseif keys.has(old) then
    return nil, {'section there again', old}
  elseif redis.call('EXISTS', old_key) == 1 then
    return nil, left_behind()
  end
  local items = redis.call('SMEMBERS', key)
  for i = 1, #items do
    probe(keys.item(items[i]))
  end
  probe(keys.names)
  probe(key)
  probe(old_key)
  return {effect = 'renamed', sections = packed({new}), new_section = old}, function()
    for i = 1, #items do
      redis.call('SADD', keys.item(items[i]), old)
      redis.call('SREM', keys.item(items[i]), new)
    end
    call_in_parts('SADD', old_key, items, 1)
    call_in_parts('SREM', key, items, 1)
    redis.call('SADD', keys.names, old)
    redis.call('SREM', keys.names, new)
  end, true
end

function BACK.changed(keys, entry)
  local sections = names_in(entry.sections)
  local outgoing, incoming = names_in(entry.added), names_in(entry.removed)
  -- The sections that had what comes out now, so that it stays; and those that have what comes in.
  local stays_in = set_of(names_in(entry.had_added or ''))
  local is_still_in = set_of(names_in(entry.kept_removed or ''))
  for i = 1, #sections do
    local section = sections[i]
    local key = keys.section(section)
    if not keys.has(section) then
      return nil, {'no section now', section}
    end
    for j = 1, #outgoing do
      if redis.call('SISMEMBER', key, outgoing[j]) == 0 then
        return nil, {'not there', section, outgoing[j]}
      end
    end
    for j = 1, #incoming do
      if (redis.call('SISMEMBER', key, incoming[j]) == 1) ~= (is_still_in[section] or false) then
        return nil, {is_still_in[section] and 'not there' or 'there again', section, incoming[j]}
      end
    end
    probe(key)
  end
  for _, items in ipairs({outgoing, incoming}) do
    for i = 1, #items do
      probe(keys.item(items[i]))
    end
  end
  local change = {
    effect = 'changed', sections = entry.sections, added = entry.removed, removed = entry.added,
    had_added = entry.kept_removed, kept_removed = entry.had_added,
  }
  return change, function()
    for i = 1, #sections do
      local section = sections[i]
      if not stays_in[section] then
        call_in_parts('SREM', keys.section(section), outgoing, 1)
        for j = 1, #outgoing do
          redis.call('SREM', keys.item(outgoing[j]), section)
        end
      end
      if not is_still_in[section] then
        call_in_parts('SADD', keys.section(section), incoming, 1)
        for j = 1, #incoming do
          redis.call('SADD', keys.item(incoming[j]), section)
        end
      end
    end
  end, #incoming > 0
end

-- Looks at what an entry tells of, and notes that it is taken back. Returns what does that, and whether it
-- adds anything; or nothing and what to answer.
local function taking_back(number, entry)
  enter(number)
  local change, write, is_adding = BACK[entry.effect](keys_of(number), entry)
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

