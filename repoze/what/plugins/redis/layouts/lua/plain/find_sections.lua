-- The sections that any of the given items is in.
--
-- ARGV: the items, at least one.
-- Returns the names of the sections; one may be named twice.

return sections_of(ARGV)
