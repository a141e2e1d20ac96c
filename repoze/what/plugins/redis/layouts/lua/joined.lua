-- The names in some lists, and those in others, as {NUMBER, NAMES, NUMBER, NAMES}: in one text, with NUL
-- between two, for a client takes far longer to read a reply with a text for each. Where it finds more
-- of them than the number says, NUL is in a name, and it has to ask in another way.
local function joined(lists, others)
  local reply = {}
  for _, each in ipairs({lists, others}) do
    local number, parts = 0, {}
    for _, names in ipairs(each) do
      if #names > 0 then
        number = number + #names
        parts[#parts + 1] = table.concat(names, '\0')
      end
    end
    reply[#reply + 1] = number
    reply[#reply + 1] = table.concat(parts, '\0')
  end
  return reply
end

