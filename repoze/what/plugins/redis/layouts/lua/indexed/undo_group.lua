-- Takes back the renaming or the deleting of a group, among the groups and for all of its permissions.
--
-- ARGV[7] to ARGV[11]: see undoing.lua. A group without permissions has no entry among these.
-- Returns what undo.lua does, or {'permissions differ', GROUP, PERMISSION, ...} with those that a name has
-- and was left without, or has not and was left with.

local of_groups, answer = entry_of(1)
if not of_groups then
  return answer
end
local of_permissions, answer_of_permissions = entry_of(2)
if answer_of_permissions then
  return answer_of_permissions
end

-- What a name has among the permissions, and has not been left with, or the other way round.
local function difference(group, expected)
  local differing, is_expected = {}, set_of(expected)
  for _, permission in ipairs(grants_of(group)) do
    if not is_expected[permission] then
      differing[#differing + 1] = permission
    end
    is_expected[permission] = nil
  end
  for permission in pairs(is_expected) do
    differing[#differing + 1] = permission
  end
  return differing
end

local group = names_in(of_groups.sections)[1]
-- Those that are over by now, it is permitted no more.
local for_good, with_ends = parted(
  of_permissions and names_in(of_permissions.sections) or {},
  ends_in(of_permissions and of_permissions.ends)
)
local permitted = both(for_good, names_of(with_ends))
-- The names that are left with permissions, and without. Whoever is called so has them.
local left = ({
  created = {{group, permitted}},
  deleted = {{group, {}}},
  renamed = {{group, {}}, {of_groups.new_section, permitted}},
})[of_groups.effect]
for _, each in ipairs(left) do
  local differing = difference(each[1], each[2])
  if #differing > 0 then
    return {'permissions differ', each[1], unpack(differing, 1, math.min(#differing, 10))}
  end
end

local take_back, is_adding = taking_back(1, of_groups)
if not take_back then
  return is_adding
end
local take_permissions_back, is_granting
if of_permissions then
  take_permissions_back, is_granting = taking_back(2, of_permissions)
  if not take_permissions_back then
    return is_granting
  end
else
  -- What has none leaves no trace in its source.
  sources[2] = nil
end
begin(is_adding or is_granting)
take_back()
if take_permissions_back then
  take_permissions_back()
end
end_all()
return done({})
