-- What all writes of the indexed layout begin with, and how they end.
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
-- nothing of it probes it; it tells will_change what it is going to change, if anything; it calls
-- begin; it writes, with SREM alone and, where it said that it adds, SADD; it returns done(...). It is in
-- the database of the first source, but for what it does between enter(2) and enter(1).

local MOST = 1000

local prefix = string.sub(KEYS[1], 1, -1 - #'sections')
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
  local prefix = string.sub(KEYS[i], 1, -1 - #'sections')
  sources[i] = {
    prefix = prefix,
    scratch = prefix .. 'done:',
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

local function section_key(section)
  return prefix .. 'section:' .. section
end

local function item_key(item)
  return prefix .. 'item:' .. item
end

local function has_section(section)
  return redis.call('SISMEMBER', KEYS[1], section) == 1
end

-- Those of sections that have an item: not what the index alone says.
local function sections_with(item, sections)
  local having = {}
  for i = 1, #sections do
    if redis.call('SISMEMBER', section_key(sections[i]), item) == 1 and has_section(sections[i]) then
      having[#having + 1] = sections[i]
    end
  end
  return having
end

-- The keys that are to be written, by their source.
local probed = {{}, {}}

-- Fails where a key that is to be written has another type or is being moved to another node; begin,
-- where it may not be written.
local function probe(key)
  redis.call('SISMEMBER', key, '')
  table.insert(probed[entered], key)
end

-- The items of a section that goes, or gets another name; and probes the keys of all that is so written.
local function probe_section(section)
  local items = redis.call('SMEMBERS', section_key(section))
  for i = 1, #items do
    probe(item_key(items[i]))
  end
  probe(KEYS[1])
  probe(section_key(section))
  return items
end

-- Those of ARGV from the eighth on that a section has (1), or lacks (0), after outcome; and probes
-- the keys of all.
local function items_held(section, is_held, outcome)
  local held = {outcome}
  for i = 8, #ARGV do
    probe(item_key(ARGV[i]))
    if redis.call('SISMEMBER', section_key(section), ARGV[i]) == is_held then
      held[#held + 1] = ARGV[i]
    end
  end
  return held
end

-- Fails where a user may take away what is in a key, and not add: a selector of the server's ACL can say
-- so. No SADD is without effect on a key that may not be there; so it is asked for, from Redis 7.0 on, which
-- brought the selectors and this, too.
local function probe_adding(key)
  if redis.acl_check_cmd and not redis.acl_check_cmd('SADD', key, ARGV[1]) then
    error(redis.error_reply("NOPERM this user has no permissions to run the 'sadd' command on a key"))
  end
end

-- What ends the names that a renaming in steps sets permissions aside under.
local MARK = ' (being renamed)'

-- Those of such names whose permissions are to be written in a source, of permissions.
local function names_set_aside(number, source)
  local start, names = source.prefix .. 'item:', {}
  if string.sub(source.prefix, -#':permissions:') == ':permissions:' then
    for _, key in ipairs(probed[number]) do
      if string.sub(key, -#MARK) == MARK and string.sub(key, 1, #start) == start then
        names[#names + 1] = string.sub(key, #start + 1)
      end
    end
  end
  return names
end

local adds = false

-- Takes down which names have permissions now, and which have none any more: rename_group and
-- delete_group look there. One that cannot be read may have some.
local function note_what_is_set_aside()
  for number, source in pairs(sources) do
    enter(number)
    for _, name in ipairs(source.set_aside) do
      local permissions = redis.pcall('SMEMBERS', source.prefix .. 'item:' .. name)
      if #permissions == 0 and not permissions.err then
        redis.call('SREM', source.prefix .. 'aside', name)
      elseif adds then
        redis.call('SADD', source.prefix .. 'aside', name)
      end
    end
  end
  enter(1)
end

-- Fails where the commands of a write are refused, in any source, and has then written nothing. Where
-- memory is out, what adds is refused; what takes away is not, for a script may add once it has removed.
-- The histories are told before anything changes: their keys can still refuse, and nothing is undone. The
-- formats are last: a write that is refused leaves none.
local function begin(is_adding)
  adds = is_adding
  if is_adding then
    redis.call('ZADD', writes, 'XX', 0, '')
  end
  redis.call('SREM', scratch, 'begun')
  redis.call('ZADD', writes, 'XX', 0, '')
  for number, source in pairs(sources) do
    enter(number)
    if source.unset_format then
      redis.call('SET', source.unset_format, FORMAT, 'XX')
    end
    redis.call('SREM', source.scratch, 'begun')
    probe_history(number, source.scratch)
    redis.call('SADD', source.scratch, 'begun')
    redis.call('SREM', source.scratch, 'begun')
    source.set_aside = names_set_aside(number, source)
    if #source.set_aside > 0 then
      probe(source.prefix .. 'aside')
    end
    -- A user may be permitted to read a key, and not to write it. No set has the token in it.
    for _, key in ipairs(probed[number]) do
      redis.call('SREM', key, ARGV[1])
      if is_adding then
        probe_adding(key)
      end
    end
  end
  enter(1)
  redis.call('ZREMRANGEBYRANK', writes, 0, -1 - MOST)
  add_entries()
  for number, source in pairs(sources) do
    if source.unset_format then
      enter(number)
      redis.call('SET', source.unset_format, FORMAT)
    end
  end
  enter(1)
end

-- Keeps the answer {'done', DETAIL, ...}, and returns it.
local function done(details)
  note_what_is_set_aside()
  local number = string.format('%.0f', newest[2] + 1)
  local members, reply = {number, ARGV[1]}, {'done'}
  for i = 1, #details do
    members[2 * i + 1] = number
    members[2 * i + 2] = ARGV[1] .. ':' .. details[i]
    reply[i + 1] = details[i]
  end
  call_in_parts('ZADD', writes, members, 1)
  return reply
end

