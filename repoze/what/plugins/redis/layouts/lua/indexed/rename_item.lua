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
will_change(1, 'rename_item', {
  sections = packed(found.all), added = packed({new_item}), removed = packed({item}),
  ends = packed(found.with_ends),
})

begin(true)
rename(item, new_item, found)
end_all()
return done(found.all)
