-- Gives an item another name, in every section.
--
-- ARGV[7]: the item. ARGV[8]: its new name. ARGV[9]: there where that may be an item already.
-- Returns {'done', SECTION, ...} with the sections that had it, {'item absent'} or {'item taken'}.

local item, new_item, is_merging = ARGV[7], ARGV[8], ARGV[9]
local indexed = redis.call('SMEMBERS', item_key(item))
-- What the index alone says is not made true.
local sections = sections_with(item, indexed)
if #sections == 0 then
  return {'item absent'}
elseif not is_merging and redis.call('EXISTS', item_key(new_item)) == 1 then
  return {'item taken'}
end
for i = 1, #sections do
  probe(section_key(sections[i]))
end
probe(item_key(item))
probe(item_key(new_item))
local had = {}
for i = 1, is_merging and #sections or 0 do
  if redis.call('SISMEMBER', section_key(sections[i]), new_item) == 1 then
    had[#had + 1] = sections[i]
  end
end
local change = {
  sections = packed(sections), added = packed({new_item}), removed = packed({item}),
  had_added = #had > 0 and packed(had),
}
will_change(1, 'rename_item', change)

begin(true)
for i = 1, #sections do
  redis.call('SADD', section_key(sections[i]), new_item)
  redis.call('SREM', section_key(sections[i]), item)
end
call_in_parts('SADD', item_key(new_item), sections, 1)
call_in_parts('SREM', item_key(item), indexed, 1)
return done(sections)
