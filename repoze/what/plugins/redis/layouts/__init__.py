"""How a source lies in Redis: the operations of each layout, and that what is written lasts."""
