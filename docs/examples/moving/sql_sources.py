"""The tables of the SQL plugin and of a TurboGears quickstart, as sources to copy from."""

from sqlalchemy import text

from repoze.what.adapters import BaseSourceAdapter
from repoze.what.plugins.redis import copy_sections

# Each row is a section and an item; the item is null where the section has none.
GROUPS = """
    SELECT tg_group.group_name, tg_user.user_name
    FROM tg_group
    LEFT JOIN tg_user_group ON tg_user_group.group_id = tg_group.group_id
    LEFT JOIN tg_user ON tg_user.user_id = tg_user_group.user_id
"""
PERMISSIONS = """
    SELECT tg_permission.permission_name, tg_group.group_name
    FROM tg_permission
    LEFT JOIN tg_group_permission
        ON tg_group_permission.permission_id = tg_permission.permission_id
    LEFT JOIN tg_group ON tg_group.group_id = tg_group_permission.group_id
"""


class SQLSource(BaseSourceAdapter):
    """What a query finds, for reading only."""

    def __init__(self, engine, query):
        super().__init__(writable=False)
        self.engine = engine
        self.query = query

    def _get_all_sections(self):
        sections = {}
        with self.engine.connect() as connection:
            for section, item in connection.execute(text(self.query)):
                items = sections.setdefault(section, set())
                if item is not None:
                    items.add(item)
        return sections


def copy_tables(engine, groups, permissions):
    """Copy both sources, and return how many groups and permissions there are."""
    return (
        copy_sections(SQLSource(engine, GROUPS), groups),
        copy_sections(SQLSource(engine, PERMISSIONS), permissions),
    )
