"""What a source is by what its history tells."""

from datetime import UTC, datetime, timedelta

NOTHING = timedelta(0)


def replayed(changes, passed_at=None, passed=NOTHING):
    """What an empty source becomes by *changes*, of which the latest is the first.

    Each has to tell of what it changed, all of it, and of nothing else.

    :param passed_at: by the tokens of changes, how much time the test had let pass before each.
    :param passed: how much it has let pass until now.
    """
    passed_at = passed_at or {}
    sections = {}
    for change in reversed(list(changes)):
        shift = passed_at.get(change.token, NOTHING)
        _end(sections, change.at + shift)
        ends = {name: end and end + shift for name, end in change.until.items()}
        if change.operation == "create_section":
            assert change.section not in sections
            sections[change.section] = {}
        elif change.operation == "delete_section":
            assert sections.pop(change.section).keys() == change.removed
        elif change.new_section is not None:
            assert change.new_section not in sections
            sections[change.new_section] = sections.pop(change.section)
        elif change.operation == "set_until":
            items = sections[change.section]
            [(item, end)] = ends.items()
            before = change.until_before[item]
            assert items[item] == (before and before + shift)
            items[item] = end
        else:
            assert change.added or change.removed
            for section in change.sections:
                items = sections[section]
                assert change.removed <= items.keys()
                assert not change.added & items.keys()
                for item in change.removed:
                    del items[item]
                for item in change.added:
                    items[item] = ends.get(section if change.removed else item)
    _end(sections, datetime.now(UTC) + passed)
    return {section: set(items) for section, items in sections.items()}


def _end(sections, now):
    for items in sections.values():
        for item in [item for item, end in items.items() if end is not None and end <= now]:
            del items[item]
