-- What the writes of the plain layout begin with.
--
-- A script first looks whether it may; then it tries what it will do, without effect, so that a
-- command that is refused is refused before anything is written; and then it writes. Where memory is
-- out, the first command that adds is refused, and one that removes is not; after that, a script may
-- add. So the one that is tried first decides whether the write is refused then: a right must not stay
-- because memory is out.

-- Tries what takes away: an item that is there is added again, beside a mark that means nothing.
local function try_to_remove(section, item)
  redis.call('SREM', section, '')
  redis.call('SADD', section, item)
end

-- Tries what adds: an item that is there is added again, and one that is not is removed.
local function try_to_add(section, present, absent)
  redis.call('SADD', section, present)
  redis.call('SREM', section, absent)
end

-- Calls visit with each section: each set but for that of the key ''. SCAN may come to one twice.
local function each_section(visit)
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'set')
    cursor = page[1]
    for _, section in ipairs(page[2]) do
      if section ~= '' then
        visit(section)
      end
    end
  until cursor == '0'
end

-- Those of ARGV that a section has (1), or lacks (0), after outcome.
local function items_held(section, is_held, outcome)
  local held = {outcome}
  for _, item in ipairs(ARGV) do
    if redis.call('SISMEMBER', section, item) == is_held then
      held[#held + 1] = item
    end
  end
  return held
end

