-- Calls a command of one key with the values from the first-th on, however many: Lua's unpack takes
-- a little less than 8,000 at once. What the calls return is dropped.
local function call_in_parts(command, key, values, first)
  for from = first, #values, 5000 do
    redis.call(command, key, unpack(values, from, math.min(from + 4999, #values)))
  end
end

