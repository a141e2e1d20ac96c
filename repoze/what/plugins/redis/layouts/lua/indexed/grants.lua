-- The permissions of groups, in the source beside that of the groups: a permission is a section there, and
-- a group an item.

-- What a group is permitted. Where that is nothing, it leaves no trace in the source.
local function permissions_of(group)
  enter(2)
  local found = memberships_of(group)
  enter(1)
  if #found.indexed == 0 and not next(found.ends) then
    sources[2] = nil
  end
  return found
end

-- What the index says that a group is permitted.
local function grants_of(group)
  enter(2)
  local permissions = both(redis.call('SMEMBERS', item_key(group)), lasting(item_ends_key(group)))
  enter(1)
  return without_mark(permissions)
end

