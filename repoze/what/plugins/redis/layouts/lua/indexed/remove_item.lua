-- Removes an item from every section.
--
-- ARGV[7]: the item.
-- Returns {'done', SECTION, ...} with the sections that had it, or {'item absent'}.

local item = ARGV[7]
if not is_in_any(item) then
  return {'item absent'}
end
local found = memberships_of(item)
will_leave(item, found, found.named)
if #found.all > 0 then
  will_change(1, 'remove_item', {
    sections = packed(found.all), removed = packed({item}), ends = packed(found.with_ends),
  })
end

begin(false)
leave(item, found)
end_all()
return done(both(found.named, found.lasting))
