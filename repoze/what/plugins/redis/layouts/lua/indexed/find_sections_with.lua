-- The sections that an item is in, and those of another kind that any of these is an item of.
--
-- KEYS[1]: the key of the item. KEYS[2]: that of its sorted set. ARGV[1]: what the keys of the other kind's
-- items begin with. ARGV[2]: what those of their sorted sets do. ARGV[3]: the number of the other kind's
-- database, where it is another.
-- Returns both as joined does; one may be named twice. If anything of that ends, there follows for how many
-- milliseconds it lasts.

local sections = redis.call('SMEMBERS', KEYS[1])
local names = {}
local first_end = math.huge
-- Adds the names of what lasts, and notes when the first of it ends.
local function add_lasting(key, to)
  local ending = lasting(key, 'WITHSCORES')
  for i = 1, #ending, 2 do
    to[#to + 1] = ending[i]
  end
  if ending[2] then
    first_end = math.min(first_end, tonumber(ending[2]))
  end
end

-- Whether the empty name is among those that joined has made one text of.
local function has_empty_name(number, text)
  return number > 0 and (
    text == '' or string.sub(text, 1, 1) == '\0' or string.sub(text, -1) == '\0'
    or string.find(text, '\0\0', 1, true)
  )
end

local is_marked = false
for i = 1, #sections do
  -- What has the empty name is none, whoever wrote it.
  if sections[i] == '' then
    is_marked = true
  else
    names[#names + 1] = sections[i]
  end
end
if is_marked then
  add_lasting(KEYS[2], names)
end
if ARGV[3] and #names > 0 then
  -- Of this script alone: who has called it stays in the database that he has selected.
  redis.call('SELECT', ARGV[3])
end
local keys = {}
for i = 1, #names do
  keys[i] = ARGV[1] .. names[i]
end
local others = unions(keys)
local reply = joined({names}, others)
if has_empty_name(reply[3], reply[4]) then
  local more = {}
  for i = 1, #names do
    add_lasting(ARGV[2] .. names[i], more)
  end
  others[#others + 1] = more
  reply = joined({names}, others)
end
if first_end < math.huge then
  reply[5] = first_end - now()
end
return reply
