-- The names of some of the sections.
--
-- ARGV[1]: where the page begins: 0 for the first, else what the page before it returned.
-- ARGV[2]: about how many keys to look at.
-- Returns where the next page begins (0 after the last), and the names.

return redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2], 'TYPE', 'set')
