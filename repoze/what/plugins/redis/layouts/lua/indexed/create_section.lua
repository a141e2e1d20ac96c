-- Adds a section without items.
--
-- ARGV[7]: the section.
-- Returns {'done'} or {'section present'}; an INCONSISTENT error where items without a section lie
-- under its name, which the new section would inherit.

local section = ARGV[7]
if has_section(section) then
  return {'section present'}
end
if redis.call('EXISTS', section_key(section), section_ends_key(section)) > 0 then
  return redis.error_reply('INCONSISTENT there are items of this section, but no such section')
end
probe(KEYS[1])

will_change(1, 'create_section', {sections = packed({section})})
begin(true)
redis.call('SADD', KEYS[1], section)
return done({})
