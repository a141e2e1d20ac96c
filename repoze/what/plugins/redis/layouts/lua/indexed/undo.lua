-- Takes back a change of one source.
--
-- ARGV[7] to ARGV[9]: see undoing.lua.
-- Returns {'done'} or {'gone on'}; where the source is not as the change has left it, {'no section now',
-- SECTION}, {'section there again', SECTION}, {'not there', SECTION, ITEM}, {'there again', SECTION, ITEM}
-- or {'also there', SECTION, ITEM}; an INCONSISTENT error where items without a section lie under the name
-- of one that is to be there again.

local entry, answer = entry_of(1)
if not entry then
  return answer
end
local take_back, is_adding = taking_back(1, entry)
if not take_back then
  return is_adding
end
begin(is_adding)
take_back()
end_all()
return done({})
