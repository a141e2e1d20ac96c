-- Removes a group with its users, and revokes its permissions.
--
-- ARGV[7]: the group.
-- Returns {'done', PERMISSION, ...} with what it was permitted, or {'no group'}.

local group = ARGV[7]
if not has_section(group) then
  return {'no group'}
end
local users = probe_section(group)
local permissions = probe_grants(group)
local revoked = granted(group, permissions)
local is_joint = #revoked > 0 and '1'
local deleted = {
  sections = packed({group}), removed = packed(users), effect = 'deleted', is_joint = is_joint,
}
will_change(1, 'delete_group', deleted)
if is_joint then
  local change = {sections = packed(revoked), removed = packed({group}), is_joint = is_joint}
  will_change(2, 'delete_group', change)
end

begin(false)
enter(2)
for i = 1, #permissions do
  redis.call('SREM', permission_key(permissions[i]), group)
end
call_in_parts('SREM', grants_key(group), permissions, 1)
enter(1)
for i = 1, #users do
  redis.call('SREM', item_key(users[i]), group)
end
call_in_parts('SREM', section_key(group), users, 1)
redis.call('SREM', KEYS[1], group)
return done(permissions)
