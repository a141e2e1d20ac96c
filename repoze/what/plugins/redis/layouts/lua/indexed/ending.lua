-- When a membership is to end, in milliseconds since 1970: from 'at ' and that, or 'in ' and for how many
-- milliseconds from now on. It is before the year 10000, for others cannot say it.
--
-- Returns nothing for '', which is never; and nothing and the refusal {'past', NOW} for what is not to come.
local LATEST = 253402300799999

local function ending_from(text)
  if text == '' then
    return
  end
  local kind, milliseconds = string.match(text, '^(%a+) (%-?%d+)$')
  local ending = tonumber(milliseconds)
  if kind == 'in' then
    ending = ending + now()
  end
  ending = math.min(ending, LATEST)
  if ending <= now() then
    return nil, {'past', string.format('%.0f', now())}
  end
  return ending
end

