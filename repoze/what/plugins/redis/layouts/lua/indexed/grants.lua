-- The permissions of groups, in the source beside that of the groups: KEYS[2] is the key of its section
-- names. What is called a key here is in its database.

local of_permissions = string.sub(KEYS[2], 1, -1 - #'sections')

local function permission_key(permission)
  return of_permissions .. 'section:' .. permission
end

local function grants_key(group)
  return of_permissions .. 'item:' .. group
end

-- What the index says that a group is permitted.
local function grants_of(group)
  enter(2)
  local permissions = redis.call('SMEMBERS', grants_key(group))
  enter(1)
  return permissions
end

-- Those of permissions that have a group.
local function granted(group, permissions)
  local granting = {}
  enter(2)
  for i = 1, #permissions do
    if redis.call('SISMEMBER', KEYS[2], permissions[i]) == 1
      and redis.call('SISMEMBER', permission_key(permissions[i]), group) == 1 then
      granting[#granting + 1] = permissions[i]
    end
  end
  enter(1)
  return granting
end

-- Whether permissions are set aside for one of some groups, whose renaming in steps is under way, or was
-- interrupted: they would come to whoever is called so next. From the first-th of ARGV on it is said what
-- such a name begins with, and what another ends with, in turn for each group; the databases come last.
local function is_set_aside(first)
  enter(2)
  local names = redis.call('SMEMBERS', of_permissions .. 'aside')
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

-- As grants_of, and probes the keys of that; what has none leaves no trace in its source.
local function probe_grants(group, new_group)
  local permissions = grants_of(group)
  enter(2)
  for i = 1, #permissions do
    probe(permission_key(permissions[i]))
  end
  probe(grants_key(group))
  if new_group then
    probe(grants_key(new_group))
  end
  enter(1)
  if #permissions == 0 then
    sources[2] = nil
  end
  return permissions
end

