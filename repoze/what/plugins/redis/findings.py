"""What `check` finds in a source."""

from dataclasses import dataclass

_TEXTS = {
    "not indexed": "{item!r} is in section {section!r}, but not found there. repair() mends it.",
    "only indexed": "{item!r} is found in section {section!r}, but not in it. repair() mends it.",
    "no such section": "There are items of {section!r}, but no such section. Add the name to the "
    "set of section names and call repair(), or delete the key of its items.",
    "not a set": "The key {section!r} is of another type than belongs there. Rename or delete it.",
    "no name": "What lies under the empty name is no section. Rename or delete its key.",
    "mark beside items": "Section {section!r} has items and the mark of an empty section. It is "
    "read as if it had not; repair() removes the mark.",
}


PROBLEMS = {text.encode(): text for text in _TEXTS}
"""Each *problem* of a finding, by what a script calls it."""


@dataclass(frozen=True)
class Finding:
    """Something in a source that is not as it should be; `str` tells it in words, with a remedy.

    *problem* is one of

    - ``not indexed``, *item* is in *section*, and a lookup does not find it: a right is withheld;
    - ``only indexed``, a lookup finds *item* in *section*, which does not have it: a right is
      granted that should not be;
    - ``no such section``, items lie under the name *section*, which no section has;
    - ``not a set``, the key *section* is of another type than belongs there;
    - ``no name``, items lie under the empty name, which no section can have;
    - ``mark beside items``, *section* is marked as empty and is not, which does no harm.

    The first three are of the indexed layout, the last is of the plain one.
    """

    problem: str
    section: str
    item: str

    def __str__(self) -> str:
        return _TEXTS[self.problem].format(section=self.section, item=self.item)
