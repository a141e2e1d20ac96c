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
        if change.effect == "created":
            assert change.section not in sections
            sections[change.section] = {item: ends.get(item) for item in change.added}
        elif change.effect == "deleted":
            assert sections.pop(change.section).keys() == change.removed
        elif change.effect == "renamed":
            assert change.new_section not in sections
            sections[change.new_section] = sections.pop(change.section)
        elif change.until_before:
            items = sections[change.section]
            [(item, end)] = ends.items()
            before = change.until_before[item]
            # Where that is past by now, it is undone.
            before = before and before + shift
            is_over = before is not None and before <= change.at + shift
            assert is_over or items[item] == before
            items[item] = end
            _end(sections, change.at + shift)
        else:
            assert change.added or change.removed or change.undoes
            for section in change.sections:
                _change(sections[section], section, change, ends)
    _end(sections, datetime.now(UTC) + passed)
    return {section: set(items) for section, items in sections.items()}


def _change(items, section, change, ends):
    assert change.removed <= items.keys()
    had = section in change.had_added
    assert change.added & items.keys() == (change.added if had else set())
    if section not in change.kept_removed:
        for item in change.removed:
            del items[item]
    for item in change.added:
        if not had:
            items[item] = ends.get(section if change.is_of_item else item)


def _end(sections, now):
    for items in sections.values():
        for item in [item for item, end in items.items() if end is not None and end <= now]:
            del items[item]
