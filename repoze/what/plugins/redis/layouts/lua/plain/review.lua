-- What is odd about some keys, and puts it right if that is wanted.
--
-- ARGV[1]: 'check', 'take away' or 'add': what is to be put right. ARGV[2] and following: keys.
-- Returns {PROBLEM, SECTION, ITEM, PROBLEM, SECTION, ITEM, ...}; the item is always ''.

local findings = {}
local function found(problem, section)
  findings[#findings + 1] = problem
  findings[#findings + 1] = section
  findings[#findings + 1] = ''
end

for i = 2, #ARGV do
  local kind = redis.call('TYPE', ARGV[i]).ok
  if kind ~= 'set' then
    if kind ~= 'none' and ARGV[1] == 'check' then
      found('not a set', ARGV[i])
    end
  elseif ARGV[i] == '' then
    if ARGV[1] == 'check' then
      found('no name', ARGV[i])
    end
  elseif redis.call('SISMEMBER', ARGV[i], '') == 1 and redis.call('SCARD', ARGV[i]) > 1 then
    found('mark beside items', ARGV[i])
    if ARGV[1] ~= 'check' then
      redis.call('SREM', ARGV[i], '')
    end
  end
end
return findings
