"""Changes of the sources, in words."""

from typing import NamedTuple

SECTION_OF = {"groups": "group", "permissions": "permission"}


class Change(NamedTuple):
    """What happened to a section, or to an item of it."""

    source: str
    section: str
    change: str
    """``created`` or ``deleted``, for the section; ``added`` or ``removed``, for the item."""
    item: str | None = None
