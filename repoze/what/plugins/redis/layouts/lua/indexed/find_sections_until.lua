-- The sections that an item is in, and when that ends where it is for a time.
--
-- KEYS[1]: the key of the item. KEYS[2]: that of its sorted set.
-- Returns {{SECTION, ...}, {SECTION, END, ...}}: those that it is in for good, the mark perhaps among them,
-- and the others.

return {redis.call('SMEMBERS', KEYS[1]), lasting(KEYS[2], 'WITHSCORES')}
