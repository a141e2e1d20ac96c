-- Which keys a source may have is its format, a number in the key `format` of its kind. Where another
-- number is there, a newer version keeps the source, with keys that nothing here knows of.
local FORMAT = '1'

local function format_key_beside(sections)
  return string.sub(sections, 1, -1 - #'sections') .. 'format'
end

-- The error where a format is there, and is none of ours.
local function newer_than_ours(format)
  if format and format ~= FORMAT then
    -- Whatever is there, it does not break the line of an error.
    local shown = string.sub(string.gsub(format, '[^%w.+-]', '?'), 1, 20)
    return redis.error_reply("NEWER the source is kept in the format '" .. shown
      .. "', which is newer than '" .. FORMAT .. "', that of this version")
  end
end

