-- What all writes of the indexed layout begin with: whether this one is to be done at all.
--
-- KEYS[1]: the key of the section names; the others begin like it and lie in the same slot. KEYS[2]: that
-- of a second source, where the script writes two.
-- ARGV[1]: the token of this write. ARGV[2]: a member that was in the set of the latest writes before
-- this one was first sent, or '' where its sender knows of none. ARGV[3] to ARGV[6]: see history.lua.
-- What follows are names.
--
-- A write whose reply was lost is sent again as it was. Where it had been carried out, the answer of
-- that time is all that comes of it. That it had not is known by the member in ARGV[2], for what came
-- later is forgotten later; no clock has a part in it. Where that one has been forgotten, nothing is
-- written, and the answer is {'forgotten', MEMBER} with one to know of next time.
--
-- After that, where the databases of two sources cannot be selected in turn, the answer is {'apart'}, and
-- a source in a newer format is left alone, with an error. Nothing is written then.
--
-- What follows in each script: it reads every key that it will write, and where it needs to know
-- nothing of it probes it; it tells will_change what it is going to change, if anything, and will_end what
-- is to end, or to end no more; it calls begin; it writes, with SREM alone and, where it said that it adds,
-- SADD, and then by end_all; it returns done(...). It is in the database of the first source, but for what
-- it does between enter(2) and enter(1).

local MOST = 1000

local prefix = prefixes[1]
-- The latest writes, by their number: a token, and after a colon each detail of its answer.
local writes = prefix .. 'done'
-- Holds nothing, but for a moment.
local scratch = prefix .. 'done:'

local number = redis.call('ZSCORE', writes, ARGV[1])
if number then
  -- A write on this connection too: WAIT is for what was written on the one that it is sent by.
  redis.call('SREM', scratch, 'begun')
  redis.call('SADD', scratch, 'begun')
  redis.call('SREM', scratch, 'begun')
  local reply = {'done'}
  for _, member in ipairs(redis.call('ZRANGE', writes, number, number, 'BYSCORE')) do
    if member ~= ARGV[1] then
      reply[#reply + 1] = string.sub(member, #ARGV[1] + 2)
    end
  end
  return reply
end

if is_apart and (
  redis.pcall('SELECT', database_of(2)).err or redis.pcall('SELECT', database_of(1)).err
) then
  return {'apart'}
end

-- By their number in KEYS: those that are to be written.
local sources = {}
local refusal
for i = 1, #KEYS do
  enter(i)
  local format_key = format_key_beside(KEYS[i])
  local format = redis.call('GET', format_key)
  refusal = refusal or newer_than_ours(format)
  sources[i] = {
    scratch = prefixes[i] .. 'done:',
    unset_format = not format and format_key,
  }
end
enter(1)
if refusal then
  return refusal
end

local newest = redis.call('ZRANGE', writes, -1, -1, 'WITHSCORES')
if not redis.call('ZSCORE', writes, ARGV[2]) then
  if #newest == 0 then
    -- Where memory is out, a script may add once it has removed.
    redis.call('SREM', scratch, 'begun')
    newest[1] = ARGV[1] .. ' was to be the first'
    redis.call('ZADD', writes, 0, newest[1])
  end
  return {'forgotten', newest[1]}
end

