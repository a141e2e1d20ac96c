-- When a membership is to end, in milliseconds since 1970: from 'at ' and that, or 'in ' and for how many
-- milliseconds from now on. It is before the year 10000, for others cannot say it.
local LATEST = 253402300799999

local function ending_from(text)
  local kind, milliseconds = string.match(text, '^(%a+) (%-?%d+)$')
  local ending = tonumber(milliseconds)
  if kind == 'in' then
    ending = ending + now()
  end
  return math.min(ending, LATEST)
end

