-- Gives a group another name, among the groups and for all of its permissions.
--
-- ARGV[7]: the group. ARGV[8]: its new name. ARGV[9]: what has the permissions of a group that is renamed
-- to this name in steps.
-- Returns {'done', PERMISSION, ...} with what it is permitted; {'kept'} where that other has permissions,
-- so that the steps were interrupted; {'no group'}, {'group present'} or {'still permitted', PERMISSION,
-- ...} with what the new name, which is no group, has; an INCONSISTENT error where users without a group
-- lie under it.

local group, new_group = ARGV[7], ARGV[8]
if #grants_of(ARGV[9]) > 0 then
  return {'kept'}
end
if not has_section(group) then
  return {'no group'}
end
if has_section(new_group) then
  return {'group present'}
end
if redis.call('EXISTS', section_key(new_group)) == 1 then
  return redis.error_reply('INCONSISTENT there are users in the new group, but no such group')
end
local left = grants_of(new_group)
if #left > 0 then
  table.insert(left, 1, 'still permitted')
  return left
end
local users = probe_section(group)
probe(section_key(new_group))
local indexed = probe_grants(group, new_group)
-- What the index alone says is not made true.
local permissions = granted(group, indexed)
local is_joint = #permissions > 0 and '1'
local renamed = {sections = packed({group}), new_section = new_group, is_joint = is_joint}
will_change(1, 'rename_group', renamed)
if is_joint then
  local change = {
    sections = packed(permissions), added = packed({new_group}), removed = packed({group}),
    is_joint = is_joint,
  }
  will_change(2, 'rename_group', change)
end

begin(true)
for i = 1, #users do
  redis.call('SADD', item_key(users[i]), new_group)
  redis.call('SREM', item_key(users[i]), group)
end
call_in_parts('SADD', section_key(new_group), users, 1)
call_in_parts('SREM', section_key(group), users, 1)
redis.call('SADD', KEYS[1], new_group)
redis.call('SREM', KEYS[1], group)
enter(2)
for i = 1, #permissions do
  redis.call('SADD', permission_key(permissions[i]), new_group)
  redis.call('SREM', permission_key(permissions[i]), group)
end
call_in_parts('SADD', grants_key(new_group), permissions, 1)
call_in_parts('SREM', grants_key(group), indexed, 1)
enter(1)
return done(permissions)
