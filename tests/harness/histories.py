"""What a source is by what its history tells."""


def replayed(changes):
    """What an empty source becomes by *changes*, of which the latest is the first.

    Each has to tell of what it changed, all of it, and of nothing else.
    """
    sections = {}
    for change in reversed(list(changes)):
        if change.effect == "created":
            assert change.section not in sections
            sections[change.section] = set(change.added)
        elif change.effect == "deleted":
            assert sections.pop(change.section) == change.removed
        elif change.effect == "renamed":
            assert change.new_section not in sections
            sections[change.new_section] = sections.pop(change.section)
        else:
            assert change.added or change.removed
            for section in change.sections:
                items = sections[section]
                assert change.removed <= items
                had = section in change.had_added
                assert change.added & items == (change.added if had else set())
                kept = section in change.kept_removed
                sections[section] = (items if kept else items - change.removed) | change.added
    return sections
