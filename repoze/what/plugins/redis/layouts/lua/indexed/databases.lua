-- The databases of the sources that a script writes: where it writes two, the last two of ARGV are the
-- numbers of theirs.

-- What the keys of each source begin with.
local prefixes = {}
for i = 1, #KEYS do
  prefixes[i] = string.sub(KEYS[i], 1, -1 - #'sections')
end

local function database_of(source)
  return ARGV[#ARGV - #KEYS + source]
end

local is_apart = #KEYS == 2 and database_of(1) ~= database_of(2)

-- The database of a source, by its number in KEYS, is the one that what follows is asked of. A server
-- has who called the script stay in the one that he has selected; fakeredis does not.
local entered = 1
local function enter(source)
  entered = source
  if is_apart then
    redis.call('SELECT', database_of(source))
  end
end

