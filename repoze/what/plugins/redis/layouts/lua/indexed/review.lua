-- Where sections and index are not in step, and puts the index right if that is wanted.
--
-- KEYS[1]: the key of the section names; the others begin like it.
-- ARGV[1]: 'check' or 'repair'. ARGV[2] and following: keys of the namespace.
-- Returns {PROBLEM, SECTION, ITEM, PROBLEM, SECTION, ITEM, ...}; the item is '' where there is none.
--
-- The sections are what counts: an item is in a section where both the section's name and the item
-- in it say so. Each key is compared with its counterparts in one go, so no reader is told of a
-- membership that the sections do not have, and no writer comes between.

local prefix = string.sub(KEYS[1], 1, -1 - #'sections')
local is_repairing = ARGV[1] == 'repair'
local findings = {}
local function found(problem, section, item)
  findings[#findings + 1] = problem
  findings[#findings + 1] = section
  findings[#findings + 1] = item
end

local function is_section(name)
  return redis.call('SISMEMBER', KEYS[1], name) == 1
end

local function is_set(key)
  return redis.call('TYPE', key).ok == 'set'
end

local function holds(key, member)
  return is_set(key) and redis.call('SISMEMBER', key, member) == 1
end

local function review_section(section, items)
  if not is_section(section) then
    if not is_repairing then
      found('no such section', section, '')
    end
    return
  end
  for _, item in ipairs(items) do
    local item_key = prefix .. 'item:' .. item
    if not holds(item_key, section) then
      found('not indexed', section, item)
      if is_repairing then
        redis.call('SADD', item_key, section)
      end
    end
  end
end

local function review_item(item, sections)
  for _, section in ipairs(sections) do
    if not (is_section(section) and holds(prefix .. 'section:' .. section, item)) then
      found('only indexed', section, item)
      if is_repairing then
        redis.call('SREM', prefix .. 'item:' .. item, section)
      end
    end
  end
end

local function review(key)
  local kind, name = string.match(string.sub(key, #prefix + 1), '^(%a+):(.*)$')
  if kind ~= 'section' and kind ~= 'item' then
    return
  end
  if not is_set(key) then
    if redis.call('EXISTS', key) == 1 and not is_repairing then
      found('not a set', key, '')
    end
  elseif kind == 'section' then
    review_section(name, redis.call('SMEMBERS', key))
  else
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
