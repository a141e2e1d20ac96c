-- What is in any of the sets at some keys, in several lists where the keys are many.
local function unions(keys)
  local lists = {}
  -- Lua's unpack takes a little less than 8,000 values.
  for first = 1, #keys, 5000 do
    lists[#lists + 1] = redis.call('SUNION', unpack(keys, first, math.min(first + 4999, #keys)))
  end
  return lists
end

