-- Adds a section without items.
--
-- ARGV[3]: the section.
-- Returns {'done'} or {'section present'}; an INCONSISTENT error where items without a section lie
-- under its name, which the new section would inherit.

if redis.call('SISMEMBER', KEYS[1], ARGV[3]) == 1 then
  return {'section present'}
end
if redis.call('EXISTS', prefix .. 'section:' .. ARGV[3]) == 1 then
  return redis.error_reply('INCONSISTENT there are items of this section, but no such section')
end

begin(true)
redis.call('SADD', KEYS[1], ARGV[3])
return done({})
