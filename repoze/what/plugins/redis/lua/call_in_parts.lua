-- Calls a command of one key with any number of further arguments: Lua's unpack takes a little
-- less than 8,000 at once. What the calls return is dropped.
local function call_in_parts(command, key, values)
  for first = 1, #values, 5000 do
    redis.call(command, key, unpack(values, first, math.min(first + 4999, #values)))
  end
end

