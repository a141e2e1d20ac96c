"""Text to Python: URLs and options, from ini files, environments and command lines."""
