-- The members of a set that name something: none, where the key is not there or holds no set.
local function members(key)
  local found = {}
  if redis.call('TYPE', key).ok == 'set' then
    for _, member in ipairs(redis.call('SMEMBERS', key)) do
      if member ~= '' then
        found[#found + 1] = member
      end
    end
  end
  return found
end

