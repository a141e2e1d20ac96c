-- What all writes of the indexed layout begin with, and how they end.
--
-- KEYS[1]: the key of the section names; the others begin like it and lie in the same slot.
-- ARGV[1]: the token of this write. A write whose reply was lost is sent again with the token that
-- it had; where it had been carried out, the answer of that time is all that comes of it.
--
-- A script first reads every key that it will write, which fails where the key has another type or
-- is being moved to another node; then it calls begin, which fails where it may not write; then it
-- writes, with SADD and SREM alone; and then it returns done(...).

local prefix = string.sub(KEYS[1], 1, -1 - #'sections')
local token = prefix .. 'done:' .. ARGV[1]

-- The set of a token has 'done', and each detail of the answer after a colon.
if redis.call('SISMEMBER', token, 'done') == 1 then
  -- A write on this connection too: WAIT is for what was written on the one that it is sent by.
  redis.call('EXPIRE', token, 60)
  local reply = {'done'}
  for _, member in ipairs(redis.call('SMEMBERS', token)) do
    if string.sub(member, 1, 1) == ':' then
      reply[#reply + 1] = string.sub(member, 2)
    end
  end
  return reply
end

-- Returns an error where the commands of a write are refused, else nil. Where memory is out, what
-- adds is refused; what takes away is not, for a script may add once it has removed.
local function begin(is_adding)
  if not is_adding then
    redis.call('SREM', token, 'begun')
  end
  redis.call('SADD', token, 'begun')
  local expiry = redis.pcall('EXPIRE', token, 60)
  if type(expiry) == 'table' then
    redis.call('SREM', token, 'begun')
    return expiry
  end
  redis.call('SREM', token, 'begun')
end

-- Keeps the answer {'done', DETAIL, ...} for a minute, and returns it.
local function done(details)
  local members, reply = {'done'}, {'done'}
  for i = 1, #details do
    members[i + 1] = ':' .. details[i]
    reply[i + 1] = details[i]
  end
  call_in_parts('SADD', token, members, 1)
  redis.call('EXPIRE', token, 60)
  return reply
end

