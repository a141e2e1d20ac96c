-- Where sections and index are not in step, and puts the index right if that is wanted.
--
-- KEYS[1]: the key of the section names; the others begin like it.
-- ARGV[1]: 'check', 'take away' or 'add': what is to be put right. ARGV[2] and following: keys of the
-- namespace.
-- Returns {PROBLEM, SECTION, ITEM, PROBLEM, SECTION, ITEM, ...}; the item is '' where there is none. A
-- source in a newer format is an error: nobody here can say what is right there.
--
-- The sections are what counts: an item is in a section where both the section's name and the item
-- in it say so. Each key is compared with its counterparts in one go, so no reader is told of a
-- membership that the sections do not have, and no writer comes between.
--
-- Who is in a section for good and for a time, too, is in it for a time: that is less.
--
-- A key of another type is passed over. Where that of the section names is, nobody knows which
-- sections there are: then nothing is added, and what is taken away is what no section could have.

-- Of the keys that are no sets.
local OTHER_TYPES = {done = 'zset', format = 'string', history = 'stream'}
local TYPES = {
  section = 'set', item = 'set', ['section-until'] = 'zset', ['item-until'] = 'zset',
}

local prefix = string.sub(KEYS[1], 1, -1 - #'sections')
local is_checking = ARGV[1] == 'check'
local findings = {}
local function found(problem, section, item)
  findings[#findings + 1] = problem
  findings[#findings + 1] = section
  findings[#findings + 1] = item
end

local function type_of(key)
  return redis.call('TYPE', key).ok
end

local function is_set(key)
  return type_of(key) == 'set'
end

-- Where the format is of another type, `check` finds that; nothing is written.
local format_key = format_key_beside(KEYS[1])
if not is_checking or type_of(format_key) == 'string' then
  local refusal = newer_than_ours(redis.call('GET', format_key))
  if refusal then
    return refusal
  end
end

local has_names = is_set(KEYS[1]) or type_of(KEYS[1]) == 'none'

local function is_section(name)
  return name ~= '' and redis.call('SISMEMBER', KEYS[1], name) == 1
end

local function holds(key, member)
  return is_set(key) and redis.call('SISMEMBER', key, member) == 1
end

-- Whether there is such a section; where there is none, check finds that.
local function is_there(section)
  if is_section(section) then
    return true
  elseif is_checking then
    found(section == '' and 'no name' or 'no such section', section, '')
  end
end

local function review_section(section, items)
  if ARGV[1] == 'take away' or not has_names or not is_there(section) then
    return
  end
  for _, item in ipairs(items) do
    local item_key = prefix .. 'item:' .. item
    if not holds(item_key, section) then
      if is_checking then
        found('not indexed', section, item)
      elseif is_set(item_key) or type_of(item_key) == 'none' then
        redis.call('SADD', item_key, section)
        found('not indexed', section, item)
      end
    end
  end
end

local function review_item(item, sections)
  if ARGV[1] == 'add' then
    return
  end
  for _, section in ipairs(sections) do
    local is_named = not has_names or is_section(section)
    local is_mark = section == '' and redis.call('EXISTS', prefix .. 'item-until:' .. item) == 1
    if not is_mark and not (is_named and holds(prefix .. 'section:' .. section, item)) then
      if not is_checking then
        redis.call('SREM', prefix .. 'item:' .. item, section)
      end
      found('only indexed', section, item)
    end
  end
end

-- When something ends, where a sorted set says so.
local function ending_in(key, name)
  return type_of(key) == 'zset' and redis.call('ZSCORE', key, name)
end

-- What is in a section for a time, with its ends in turn.
local function review_section_ends(section, ends)
  if not has_names or not is_there(section) then
    return
  end
  for i = 1, #ends, 2 do
    local item, ending = ends[i], ends[i + 1]
    local key, item_key = prefix .. 'section:' .. section, prefix .. 'item:' .. item
    local ends_key = prefix .. 'item-until:' .. item
    local indexed = ending_in(ends_key, section)
    local is_later = indexed and tonumber(indexed) > tonumber(ending)
    if ARGV[1] ~= 'add' and holds(key, item) then
      if not is_checking then
        redis.call('SREM', key, item)
        if is_set(item_key) then
          redis.call('SREM', item_key, section)
        end
      end
      found('also for a time', section, item)
    end
    if ARGV[1] == 'take away' and is_later then
      redis.call('ZADD', ends_key, ending, section)
      found('other end', section, item)
    elseif is_checking and indexed and indexed ~= ending then
      found('other end', section, item)
    elseif ARGV[1] ~= 'take away' and (indexed ~= ending or not holds(item_key, '')) then
      if is_checking then
        found('not indexed', section, item)
      elseif (indexed or type_of(ends_key) == 'none' or type_of(ends_key) == 'zset')
        and (is_set(item_key) or type_of(item_key) == 'none') then
        redis.call('ZADD', ends_key, ending, section)
        redis.call('SADD', item_key, '')
        found(indexed and indexed ~= ending and 'other end' or 'not indexed', section, item)
      end
    end
  end
end

-- What an item is in for a time, with its ends in turn.
local function review_item_ends(item, ends)
  if ARGV[1] == 'add' then
    return
  end
  for i = 1, #ends, 2 do
    local section = ends[i]
    local is_named = not has_names or is_section(section)
    if not (is_named and ending_in(prefix .. 'section-until:' .. section, item)) then
      if not is_checking then
        local ends_key, item_key = prefix .. 'item-until:' .. item, prefix .. 'item:' .. item
        redis.call('ZREM', ends_key, section)
        if redis.call('EXISTS', ends_key) == 0 and is_set(item_key) then
          redis.call('SREM', item_key, '')
        end
      end
      found('only indexed', section, item)
    end
  end
  -- The mark may have been looked at before, when there was something to mark.
  local item_key = prefix .. 'item:' .. item
  if
    not is_checking
    and redis.call('EXISTS', prefix .. 'item-until:' .. item) == 0
    and holds(item_key, '')
  then
    redis.call('SREM', item_key, '')
  end
end

local function review(key)
  local rest = string.sub(key, #prefix + 1)
  local kind, name = string.match(rest, '^([%a-]+):(.*)$')
  -- The last is never there: scripts ask for it, and would fail if it were of another type.
  local is_own = key == KEYS[1] or OTHER_TYPES[rest] or TYPES[kind] or rest == 'done:'
    or rest == 'aside'
  local found_type = type_of(key)
  if not is_own or found_type == 'none' then
    return
  elseif found_type ~= (OTHER_TYPES[rest] or TYPES[kind] or 'set') then
    if is_checking then
      found('not a set', key, '')
    end
  elseif kind == 'section' then
    review_section(name, redis.call('SMEMBERS', key))
  elseif kind == 'item' then
    review_item(name, redis.call('SMEMBERS', key))
  elseif kind == 'section-until' then
    review_section_ends(name, redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
  elseif kind == 'item-until' then
    review_item_ends(name, redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
  end
end

-- A key that is never there: where keys of the namespace are being moved to another node, the server
-- refuses to say so, and what was not found here may be there.
redis.call('EXISTS', prefix .. 'done:')
for i = 2, #ARGV do
  review(ARGV[i])
end
return findings
