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
local users, ends = probe_section(group)
local in_for_a_time, with_ends = lasting_of(ends)
local permissions = permissions_of(group)
local is_joint = #permissions.all > 0 and '1'
will_move(ends, group)
will_change(1, 'delete_group', {
  sections = packed({group}), removed = packed(both(users, in_for_a_time)), ends = packed(with_ends),
  effect = 'deleted', is_joint = is_joint,
})
enter(2)
will_leave(group, permissions, permissions.named)
if is_joint then
  will_change(2, 'delete_group', {
    sections = packed(permissions.all), removed = packed({group}), ends = packed(permissions.with_ends),
    is_joint = is_joint,
  })
end
enter(1)

begin(false)
enter(2)
leave(group, permissions)
enter(1)
take(group, users)
redis.call('SREM', KEYS[1], group)
end_all()
return done(both(permissions.named, permissions.lasting))
