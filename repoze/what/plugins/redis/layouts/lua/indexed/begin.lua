-- How a write begins, once it is known what it is to do, and how it ends.

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
local function names_set_aside(number)
  local start, names = prefixes[number] .. 'item:', {}
  if string.sub(prefixes[number], -#':permissions:') == ':permissions:' then
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
      local permissions = redis.pcall('SMEMBERS', prefixes[number] .. 'item:' .. name)
      if #permissions == 0 and not permissions.err then
        redis.call('SREM', prefixes[number] .. 'aside', name)
      elseif adds then
        redis.call('SADD', prefixes[number] .. 'aside', name)
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
    source.set_aside = names_set_aside(number)
    if #source.set_aside > 0 then
      probe(prefixes[number] .. 'aside')
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

