"""What a source is by what its history tells."""


def replayed(changes):
    """What an empty source becomes by *changes*, of which the latest is the first.

    Each has to tell of what it changed, all of it, and of nothing else.
    """
    sections = {}
    for change in reversed(list(changes)):
        if change.operation == "create_section":
            assert change.section not in sections
            sections[change.section] = set()
        elif change.operation == "delete_section":
            assert sections.pop(change.section) == change.removed
        elif change.new_section is not None:
            assert change.new_section not in sections
            sections[change.new_section] = sections.pop(change.section)
        else:
            assert change.added or change.removed
            for section in change.sections:
                assert change.removed <= sections[section]
                assert not change.added & sections[section]
                sections[section] = sections[section] - change.removed | change.added
    return sections
