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
-- nothing of it probes it; it tells will_change what it is going to change, if anything, and will_end what
-- is to end, or to end no more; it calls begin; it writes, with SREM alone and, where it said that it adds,
-- SADD, and then by end_all; it returns done(...). It is in the database of the first source, but for what
-- it does between enter(2) and enter(1).

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

-- What follows is of the source that is entered.
local prefixes = {prefix, KEYS[2] and string.sub(KEYS[2], 1, -1 - #'sections')}

local function section_key(section)
  return prefixes[entered] .. 'section:' .. section
end

local function item_key(item)
  return prefixes[entered] .. 'item:' .. item
end

-- The keys of when what is in a section, or what an item is in, ends.
local function section_ends_key(section)
  return prefixes[entered] .. 'section-until:' .. section
end

local function item_ends_key(item)
  return prefixes[entered] .. 'item-until:' .. item
end

local function has_section(section)
  return redis.call('SISMEMBER', KEYS[entered], section) == 1
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

-- The keys that are to be written, by their source: of sets, and of sorted sets.
local probed = {{}, {}}
local probed_ends = {{}, {}}

-- Fails where a key that is to be written has another type or is being moved to another node; begin,
-- where it may not be written.
local function probe(key)
  redis.call('SISMEMBER', key, '')
  table.insert(probed[entered], key)
end

local function probe_ends(key)
  redis.call('ZSCORE', key, '')
  table.insert(probed_ends[entered], key)
end

-- What is in a sorted set, by its name: when it ends, or has ended.
local function ends_at(key)
  local ends = {}
  local reply = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #reply, 2 do
    ends[reply[i]] = tonumber(reply[i + 1])
  end
  return ends
end

-- The names of what has not ended, and the same with their ends in turn.
local function lasting_of(ends)
  local names, with_ends = {}, {}
  for name, ending in pairs(ends) do
    if ending > now() then
      names[#names + 1] = name
      with_ends[#with_ends + 1] = name
      with_ends[#with_ends + 1] = string.format('%.0f', ending)
    end
  end
  return names, with_ends
end

-- What is to end, and when; false is that it is not in for a time any more.
local endings = {}

-- Takes down, for the source that is entered, when an item's membership of a section is to end.
local function will_end(section, item, ending)
  local change = {
    source = entered, section = section, item = item, ending = ending, set_key = item_key(item),
    section_ends_key = section_ends_key(section), item_ends_key = item_ends_key(item),
  }
  probe(change.set_key)
  probe_ends(change.section_ends_key)
  probe_ends(change.item_ends_key)
  endings[#endings + 1] = change
end

-- Takes down that what has ended in a section is to go.
local function will_clear(section)
  local key = section_ends_key(section)
  if redis.call('EXISTS', key) == 1 then
    local ended = string.format('%.0f', now())
    for _, item in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', ended)) do
      will_end(section, item, false)
    end
  end
end

-- Takes down that what is in a section for a time goes, or follows to a new one; what has ended goes.
local function will_move(ends, section, new_section)
  for item, ending in pairs(ends) do
    will_end(section, item, false)
    if new_section and ending > now() then
      will_end(new_section, item, ending)
    end
  end
end

-- Does what will_end has taken down, in that order.
local function end_all()
  for _, change in ipairs(endings) do
    if change.source ~= entered then
      enter(change.source)
    end
    if change.ending then
      local ending = string.format('%.0f', change.ending)
      redis.call('SADD', change.set_key, '')
      redis.call('ZADD', change.item_ends_key, ending, change.section)
      redis.call('ZADD', change.section_ends_key, ending, change.item)
    else
      redis.call('ZREM', change.section_ends_key, change.item)
      redis.call('ZREM', change.item_ends_key, change.section)
      if redis.call('EXISTS', change.item_ends_key) == 0 then
        redis.call('SREM', change.set_key, '')
      end
    end
  end
  if entered ~= 1 then
    enter(1)
  end
end

-- When an item's membership of a section ends, if that is to come.
local function ending_of(section, item)
  local ending = redis.call('ZSCORE', section_ends_key(section), item)
  return ending and tonumber(ending) > now() and tonumber(ending)
end

-- The items of a section that goes, or gets another name, and by item when those in it for a time end, or
-- have ended; and probes the keys of all that is so written.
local function probe_section(section)
  local items = redis.call('SMEMBERS', section_key(section))
  for i = 1, #items do
    probe(item_key(items[i]))
  end
  probe(KEYS[entered])
  probe(section_key(section))
  return items, ends_at(section_ends_key(section))
end

-- Those of ARGV from the first-th on that a section has for good, those that it has for a time with their
-- ends in turn, and those that it lacks; and probes the keys of all.
local function split(section, first)
  local has_ends = redis.call('EXISTS', section_ends_key(section)) == 1
  local for_good, for_a_time, lacking = {}, {}, {}
  for i = first, #ARGV do
    probe(item_key(ARGV[i]))
    if redis.call('SISMEMBER', section_key(section), ARGV[i]) == 1 then
      for_good[#for_good + 1] = ARGV[i]
    else
      local ending = has_ends and ending_of(section, ARGV[i])
      if ending then
        for_a_time[#for_a_time + 1] = ARGV[i]
        for_a_time[#for_a_time + 1] = string.format('%.0f', ending)
      else
        lacking[#lacking + 1] = ARGV[i]
      end
    end
  end
  return for_good, for_a_time, lacking
end

-- What is in two lists, in one.
local function both(names, others)
  local list = {}
  for _, each in ipairs({names, others}) do
    for i = 1, #each do
      list[#list + 1] = each[i]
    end
  end
  return list
end

-- The names of a list but for the empty one, which is the mark.
local function without_mark(names)
  local found = {}
  for i = 1, #names do
    if names[i] ~= '' then
      found[#found + 1] = names[i]
    end
  end
  return found
end

-- The refusal to add items that are in a section: {'items present', ITEM, ...}, or where some are for a
-- time {'present for a time', ITEM, END, ...}, without an end for the others.
local function refusal_of(for_good, for_a_time)
  if #for_a_time == 0 then
    return both({'items present'}, for_good)
  end
  local reply = both({'present for a time'}, for_a_time)
  for i = 1, #for_good do
    reply[#reply + 1] = for_good[i]
    reply[#reply + 1] = ''
  end
  return reply
end

-- Fails where a user may take away what is in a key, and not add: a selector of the server's ACL can say
-- so. No SADD is without effect on a key that may not be there; so it is asked for, from Redis 7.0 on, which
-- brought the selectors and this, too.
local function probe_adding(command, key, ...)
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, key, ...) then
    error(redis.error_reply(
      "NOPERM this user has no permissions to run the '" .. command .. "' command on a key"
    ))
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
        probe_adding('sadd', key, ARGV[1])
      end
    end
    if #endings > 0 then
      redis.call('ZADD', source.scratch, 'XX', 0, '')
      -- Where less is granted than before, this is added all the same.
      for _, change in ipairs(endings) do
        if change.ending and change.source == number then
          probe_adding('sadd', change.set_key, '')
          probe_adding('zadd', change.item_ends_key, 0, change.section)
          probe_adding('zadd', change.section_ends_key, 0, change.item)
        end
      end
      for _, key in ipairs(probed_ends[number]) do
        redis.call('ZREM', key, ARGV[1])
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

