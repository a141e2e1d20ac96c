-- Gives a group another name, among the groups and for all of its permissions.
--
-- ARGV[7]: the group. ARGV[8]: its new name. ARGV[9] and following: see is_set_aside.
-- Returns {'done', PERMISSION, ...} with what it is permitted; {'kept'} where something is set aside for one
-- of the names, which is for the steps to go on with, or to refuse; {'no group'}, {'group present'} or
-- {'still permitted', PERMISSION, ...} with what the new name, which is no group, has; an INCONSISTENT error
-- where users without a group lie under it.

local group, new_group = ARGV[7], ARGV[8]
if is_set_aside(9) then
  return {'kept'}
end
if not has_section(group) then
  return {'no group'}
end
if has_section(new_group) then
  return {'group present'}
end
if redis.call('EXISTS', section_key(new_group), section_ends_key(new_group)) > 0 then
  return redis.error_reply('INCONSISTENT there are users in the new group, but no such group')
end
local left = grants_of(new_group)
if #left > 0 then
  return both({'still permitted'}, left)
end
local users, ends = probe_section(group)
probe(section_key(new_group))
local permissions = permissions_of(group)
local is_joint = #permissions.all > 0 and '1'
will_move(ends, group, new_group)
will_change(1, 'rename_group', {
  sections = packed({group}), new_section = new_group, is_joint = is_joint,
})
enter(2)
will_rename(group, new_group, permissions)
if is_joint then
  will_change(2, 'rename_group', {
    sections = packed(permissions.all), added = packed({new_group}), removed = packed({group}),
    ends = packed(permissions.with_ends), is_joint = is_joint,
  })
end
enter(1)

begin(true)
put(new_group, users)
take(group, users)
redis.call('SADD', KEYS[1], new_group)
redis.call('SREM', KEYS[1], group)
enter(2)
rename(group, new_group, permissions)
enter(1)
end_all()
return done(permissions.all)
