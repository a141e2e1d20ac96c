-- Memberships that end. Those of a section lie in the sorted set section-until:NAME, those of an item in
-- item-until:NAME, by the time when each ends: in milliseconds since 1970, by the clock of the server. In
-- its set, item:NAME, an item that has any has the mark: the empty name, which no section can have.

local time
-- The time, which stands still in a script.
local function now()
  if not time then
    local seconds = redis.call('TIME')
    time = seconds[1] * 1000 + math.floor(seconds[2] / 1000)
  end
  return time
end

-- What has not ended of a sorted set, the first to end first; {NAME, END, ...} with 'WITHSCORES'.
local function lasting(key, ...)
  -- A user who may not read the clock can use a source in which nothing ends.
  if redis.call('EXISTS', key) == 0 then
    return {}
  end
  return redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', now()), '+inf', ...)
end

