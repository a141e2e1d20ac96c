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
-- A key of another type is passed over. Where that of the section names is, nobody knows which
-- sections there are: then nothing is added, and what is taken away is what no section could have.

-- Of the keys that are no sets.
local OTHER_TYPES = {done = 'zset', format = 'string', history = 'stream'}

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

local function review_section(section, items)
  if ARGV[1] == 'take away' or not has_names then
    return
  elseif not is_section(section) then
    if is_checking then
      found(section == '' and 'no name' or 'no such section', section, '')
    end
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
    if not (is_named and holds(prefix .. 'section:' .. section, item)) then
      if not is_checking then
        redis.call('SREM', prefix .. 'item:' .. item, section)
      end
      found('only indexed', section, item)
    end
  end
end

local function review(key)
  local rest = string.sub(key, #prefix + 1)
  local kind, name = string.match(rest, '^(%a+):(.*)$')
  -- The last is never there: scripts ask for it, and would fail if it were of another type.
  local is_own = key == KEYS[1] or OTHER_TYPES[rest] or kind == 'section' or kind == 'item'
    or rest == 'done:' or rest == 'aside'
  local found_type = type_of(key)
  if not is_own or found_type == 'none' then
    return
  elseif found_type ~= (OTHER_TYPES[rest] or 'set') then
    if is_checking then
      found('not a set', key, '')
    end
  elseif kind == 'section' then
    review_section(name, redis.call('SMEMBERS', key))
  elseif kind == 'item' then
    review_item(name, redis.call('SMEMBERS', key))
  end
end

-- A key that is never there: where keys of the namespace are being moved to another node, the server
-- refuses to say so, and what was not found here may be there.
redis.call('EXISTS', prefix .. 'done:')
for i = 2, #ARGV do
  review(ARGV[i])
end
return findings
