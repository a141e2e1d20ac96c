-- Gives an item another name, in every section.
--
-- ARGV[7]: the item. ARGV[8]: its new name. ARGV[9]: there where that may be an item already.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local item, new_item, is_merging = ARGV[7], ARGV[8], ARGV[9]
local found = memberships_of(item)
if #found.all == 0 then
  return {'item absent'}
elseif not is_merging and is_in_any(new_item) then
  return {'item taken'}
end
will_rename(item, new_item, found)
local had, is_final = {}, false
for i = 1, is_merging and #found.all or 0 do
  local section = found.all[i]
  local is_there = redis.call('SISMEMBER', section_key(section), new_item) == 1
  if is_there then
    had[#had + 1] = section
  end
  -- Of two times the longer one stays, and nothing tells of the other.
  if ending_of(section, new_item) or (is_there and i > #found.sections) then
    is_final = '1'
  end
end
will_change(1, 'rename_item', {
  sections = packed(found.all), added = packed({new_item}), removed = packed({item}),
  ends = packed(found.with_ends), had_added = packed(had), is_final = is_final,
})

begin(true)
rename(item, new_item, found)
end_all()
return done(found.all)
