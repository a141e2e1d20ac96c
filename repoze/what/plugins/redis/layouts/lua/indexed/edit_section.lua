-- Gives a section another name.
--
-- ARGV[7]: the section. ARGV[8]: its new name.
-- Returns {'done'}, {'no section', 'none'} or {'section present'}; an INCONSISTENT error where items
-- without a section lie under the new name.

local section, new_section = ARGV[7], ARGV[8]
if not has_section(section) then
  return {'no section', 'none'}
end
if has_section(new_section) then
  return {'section present'}
end
if redis.call('EXISTS', section_key(new_section), section_ends_key(new_section)) > 0 then
  return redis.error_reply('INCONSISTENT there are items of the new section, but no such section')
end
local items, ends = probe_section(section)
probe(section_key(new_section))
will_move(ends, section, new_section)
will_change(1, 'edit_section', {sections = packed({section}), new_section = new_section})

begin(true)
put(new_section, items)
take(section, items)
redis.call('SADD', KEYS[1], new_section)
redis.call('SREM', KEYS[1], section)
end_all()
return done({})
