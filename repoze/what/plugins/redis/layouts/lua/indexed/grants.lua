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

-- Whether permissions are set aside for one of some groups, whose renaming in steps is under way, or was
-- interrupted: they would come to whoever is called so next. From the first-th of ARGV on it is said what
-- such a name begins with, and what another ends with, in turn for each group; the databases come last.
local function is_set_aside(first)
  enter(2)
  local names = redis.call('SMEMBERS', prefixes[2] .. 'aside')
  enter(1)
  for _, name in ipairs(names) do
    for i = first, #ARGV - #KEYS, 2 do
      local is_of_group = string.sub(name, 1, #ARGV[i]) == ARGV[i]
        or string.sub(name, -#ARGV[i + 1]) == ARGV[i + 1]
      -- It may be what a group is called.
      if is_of_group and #grants_of(name) > 0 and not has_section(name) then
        return true
      end
    end
  end
  return false
end

