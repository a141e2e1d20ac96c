-- The history of a source: a stream with one entry for each change, the latest last, in the key
-- `history` of its kind.
--
-- ARGV[3]: about how many changes it is to keep; 0 is that none is noted. ARGV[4]: about how many bytes.
-- ARGV[5]: who makes this change. ARGV[6]: a note about it. Both may be ''.

local KEEPS_HISTORY = ARGV[3] ~= '0'
-- About what an entry takes besides its names.
local BYTES_OF_ENTRY = 200

-- By the number of their source in KEYS.
local entries = {}

-- The names from the first-th on in one text, whatever is in them: their lengths with a blank between
-- two, a line break, and the names in a row. fakeredis has no cmsgpack, and this takes no longer.
local function packed(names, first)
  local lengths = {}
  if KEEPS_HISTORY then
    for i = first or 1, #names do
      lengths[#lengths + 1] = #names[i]
    end
  end
  if #lengths == 0 then
    return ''
  end
  return table.concat(lengths, ' ') .. '\n' .. table.concat(names, '', first or 1)
end

-- How many bytes were noted up to an entry, those included that are not kept any more.
local function total_of(entry)
  local fields = entry and entry[2] or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'total' then
      return tonumber(fields[i + 1]) or 0
    end
  end
  return 0
end

-- Whether there may be too many bytes. That is found out whenever so many more have come that it could
-- matter: the oldest entry may be a long one, and takes time to read.
local function is_time_to_look(total_before, total)
  local step = tonumber(ARGV[4]) / 8
  return math.floor(total_before / step) ~= math.floor(total / step)
end

-- The id of the first entry after which there are not too many bytes, from the oldest on. The latest
-- stays, however long the new one is.
local function first_kept(key, total)
  local id, from = nil, '-'
  while true do
    local page = redis.call('XRANGE', key, from, '+', 'COUNT', 10)
    for i = 1, #page do
      id = page[i][1]
      if total - total_of(page[i]) <= tonumber(ARGV[4]) then
        return id
      end
    end
    if #page < 10 then
      return id
    end
    from = '(' .. id
  end
end

-- What is noted of some changes only: packed, the items, or the sections of one item, that are or were in
-- for a time, with their ends in turn, and what an end was before it was set anew; that another source
-- changes with this one; which of its sections, packed, had what was added before, and which keep what was
-- removed; that nothing can take it back; and of an undo, what came of the sections, which change it undoes,
-- and what operation that was, where it is no undo itself.
local MORE = {
  'ends', 'ends_before', 'is_joint', 'had_added', 'kept_removed', 'is_final', 'effect', 'undoes',
  'undone_operation',
}

-- Takes down what is going to change in the number-th source, and reads the key of its history.
--
-- change.sections, .added and .removed are packed; .new_section is a name. Each may be left out, and so
-- may those of MORE.
local function will_change(number, operation, change)
  if not KEEPS_HISTORY then
    return
  end
  local key = prefixes[number] .. 'history'
  enter(number)
  local latest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  local fields = {
    'token', ARGV[1],
    'operation', operation,
    'sections', change.sections or '',
    'new_section', change.new_section or '',
    'added', change.added or '',
    'removed', change.removed or '',
    'by', ARGV[5],
    'note', ARGV[6],
  }
  for i = 1, #MORE do
    if change[MORE[i]] and change[MORE[i]] ~= '' then
      fields[#fields + 1] = MORE[i]
      fields[#fields + 1] = change[MORE[i]]
    end
  end
  local total = total_of(latest) + BYTES_OF_ENTRY
  for i = 2, #fields, 2 do
    total = total + #fields[i]
  end
  fields[#fields + 1] = 'total'
  fields[#fields + 1] = string.format('%.0f', total)

  local limit = {'MAXLEN', '~', ARGV[3]}
  if latest and is_time_to_look(total_of(latest), total) then
    limit = {'MINID', '=', first_kept(key, total)}
  end
  enter(1)
  entries[number] = {
    key = key, limit = limit, fields = fields, latest_id = latest and latest[1],
  }
end

-- Fails where an entry would be refused, and where a look at the oldest would be, one day: of all keys,
-- this one is never there.
local function probe_history(number, absent)
  if entries[number] then
    redis.call('XRANGE', absent, '-', '+', 'COUNT', 1)
    redis.call('XADD', absent, 'NOMKSTREAM', '*', 'token', '')
  end
end

-- Fails where a stream would refuse an entry. The one that is there, or else the first of all, is refused
-- in any case; what counts is why. This is no matter of the entries alone: ids can be set, and
-- a user may be permitted to read a stream only.
local function probe_stream(entry)
  local refusal = redis.pcall('XADD', entry.key, 'NOMKSTREAM', entry.latest_id or '0-1', 'token', '')
  if refusal and refusal.err and not string.find(tostring(refusal.err), 'equal or smaller', 1, true) then
    redis.call('XADD', entry.key, entry.limit[1], entry.limit[2], entry.limit[3], '*', 'token', '')
  end
end

-- Adds the entries. Where the second cannot be, the first is not there either.
local function add_entries()
  if entries[2] then
    enter(2)
    probe_stream(entries[2])
  end
  for number = 1, 2 do
    local entry = entries[number]
    if entry then
      enter(number)
      local limit = entry.limit
      redis.call('XADD', entry.key, limit[1], limit[2], limit[3], '*', unpack(entry.fields))
    end
  end
  enter(1)
end

