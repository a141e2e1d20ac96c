"""The people of a small newspaper, their groups, and what each group is permitted."""

from collections.abc import Mapping

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from . import DemoError

PASSWORDS = {
    "rosa": "headline",
    "ben": "notebook",
    "mina": "ledger",
    "tomas": "keyring",
    "kim": "crossword",
}

GROUPS = {
    "editors": {"rosa"},
    "writers": {"rosa", "ben"},
    "accounts": {"mina"},
    "admins": {"tomas"},
    "interns": set[str](),
}

PERMISSIONS = {
    "write-articles": {"editors", "writers"},
    "publish": {"editors"},
    "see-subscribers": {"accounts"},
    "manage-access": {"admins"},
}


def fill(groups: RedisGroupAdapter, permissions: RedisPermissionAdapter) -> None:
    """Add the newspaper's groups and permissions to two databases, where they are missing.

    What an earlier run left is kept as it is. Where a database holds anything else, nothing is
    written to either, and `DemoError` is raised.
    """
    sources = (
        (groups, GROUPS, PASSWORDS.keys()),
        (permissions, PERMISSIONS, GROUPS.keys()),
    )
    missing = [
        (adapter, section, items)
        for adapter, sections, known_items in sources
        for section, items in _missing(adapter, sections, set(known_items)).items()
    ]
    for adapter, section, items in missing:
        adapter.create_section(section)
        adapter.set_section_items(section, items)


def _missing(
    adapter: RedisGroupAdapter | RedisPermissionAdapter,
    sections: Mapping[str, set[str]],
    known_items: set[str],
) -> dict[str, set[str]]:
    present = adapter.get_all_sections()
    items = set[str]().union(*present.values())
    strangers = sorted((present.keys() - sections.keys()) | (items - known_items))
    other_keys = adapter.db_connection.dbsize() - len(present)
    if strangers or other_keys:
        what = f"for one, {strangers[0]!r}" if strangers else f"{other_keys} keys that are no sets"
        raise DemoError(
            f"Database {adapter.DB_NAME} holds what is not the demo's ({what}). Nothing was "
            "written. Give the demo a server whose databases 1 and 2 are empty."
        )
    return {section: items for section, items in sections.items() if section not in present}
