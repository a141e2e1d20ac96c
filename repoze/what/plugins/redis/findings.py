"""What `check` finds in a source."""

from dataclasses import dataclass
from enum import StrEnum


class Problem(StrEnum):
    """What may be wrong; each is equal to its text."""

    NOT_INDEXED = "not indexed"
    """The item is in the section, and a lookup does not find it: a right is withheld."""
    ONLY_INDEXED = "only indexed"
    """A lookup finds the item in the section, which does not have it: a right is granted."""
    NO_SUCH_SECTION = "no such section"
    """Items lie under the name of the section, which is not there."""
    NOT_A_SET = "not a set"
    """The key is of another type than belongs there."""
    NO_NAME = "no name"
    """Items lie under the empty name, which no section can have."""
    ALSO_FOR_A_TIME = "also for a time"
    """The item is in the section for good, and for a time, too: a right may not end."""
    OTHER_END = "other end"
    """A lookup goes by another end than that which the section has for the item."""
    MARK_BESIDE_ITEMS = "mark beside items"
    """The section is marked as empty and is not, which does no harm."""


_TEXTS = {
    Problem.NOT_INDEXED: "{item!r} is in section {section!r}, but not found there. repair() mends "
    "it.",
    Problem.ONLY_INDEXED: "{item!r} is found in section {section!r}, but not in it. repair() mends "
    "it.",
    Problem.NO_SUCH_SECTION: "There are items of {section!r}, but no such section. Add the name to "
    "the set of section names and call repair(), or delete the key of its items.",
    Problem.ALSO_FOR_A_TIME: "{item!r} is in section {section!r} for good and for a time. repair() "
    "leaves it there for the time.",
    Problem.OTHER_END: "{item!r} is in section {section!r} for a time, and found there until "
    "another. repair() makes it the section's.",
    Problem.NOT_A_SET: "The key {section!r} is of another type than belongs there. Rename or "
    "delete it.",
    Problem.NO_NAME: "What lies under the empty name is no section. Rename or delete its key.",
    Problem.MARK_BESIDE_ITEMS: "Section {section!r} has items and the mark of an empty section. It "
    "is read as if it had not; repair() removes the mark.",
}


@dataclass(frozen=True)
class Finding:
    """Something in a source that is not as it should be; `str` tells it in words, with a remedy.

    The last kind of problem is of the plain layout. All others are of the indexed one, and keys of
    another type of both.
    """

    problem: Problem
    section: str
    """The name of the section, or the key that is not a set."""
    item: str
    """The item, or an empty text where it is about none."""

    def __str__(self) -> str:
        return _TEXTS[self.problem].format(section=self.section, item=self.item)
