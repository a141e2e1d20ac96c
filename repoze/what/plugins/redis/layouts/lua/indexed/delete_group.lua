-- Removes a group with its users, and revokes its permissions.
--
-- ARGV[7]: the group. ARGV[8] and following: see is_set_aside.
-- Returns {'done', PERMISSION, ...} with what it was permitted, {'no group'}, or {'kept'} where something is
-- set aside for it, which the steps refuse.

local group = ARGV[7]
if is_set_aside(8) then
  return {'kept'}
end
if not has_section(group) then
  return {'no group'}
end
local users = probe_section(group)
local permissions = probe_grants(group)
will_change(1, 'delete_group', {sections = packed({group}), removed = packed(users)})
local revoked = granted(group, permissions)
if #revoked > 0 then
  local change = {sections = packed(revoked), removed = packed({group})}
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
