-- Removes a section with its items.
--
-- ARGV[7]: the section.
-- Returns {'done'} or {'no section', 'none'}.

local section = ARGV[7]
if not has_section(section) then
  return {'no section', 'none'}
end
local items, ends = probe_section(section)
local in_for_a_time, with_ends = lasting_of(ends)
will_move(ends, section)
will_change(1, 'delete_section', {
  sections = packed({section}), removed = packed(both(items, in_for_a_time)), ends = packed(with_ends),
})

begin(false)
take(section, items)
redis.call('SREM', KEYS[1], section)
end_all()
return done({})
