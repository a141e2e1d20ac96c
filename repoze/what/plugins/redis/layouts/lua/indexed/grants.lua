-- The permissions of groups, in the source beside that of the groups: KEYS[2] is the key of its section
-- names.

local of_permissions = string.sub(KEYS[2], 1, -1 - #'sections')

local function permission_key(permission)
  return of_permissions .. 'section:' .. permission
end

local function grants_key(group)
  return of_permissions .. 'item:' .. group
end

-- Reads what a group is permitted, and the keys of that; what has none leaves no trace in its source.
local function probe_grants(group)
  local permissions = redis.call('SMEMBERS', grants_key(group))
  for i = 1, #permissions do
    probe(permission_key(permissions[i]))
  end
  if #permissions == 0 then
    unset_formats[2] = nil
  end
  return permissions
end

