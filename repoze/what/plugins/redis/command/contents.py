"""What sections there are in a source, and what of some items these lack: of any number of them."""

from collections.abc import Sequence
from typing import Any

import redis

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.connection.failures import Operation, source_error, without_secrets
from repoze.what.plugins.redis.layouts.indexed import IndexKeys
from repoze.what.plugins.redis.names import encode_for_write


class Contents:
    """The sections of a source, whose items the server looks at; sections and items are bytes.

    An adapter gives all items of a section at once. Of one with a million, it is asked here about
    some at a time, at the keys where a layout has them.

    :param adapter: that of the source.
    :param kind: one of `KINDS`.
    """

    def __init__(self, adapter: RedisAdapter, kind: str) -> None:
        self._adapter = adapter
        self._prefix = (
            b"" if adapter.namespace is None else IndexKeys(adapter.namespace, kind).section_prefix
        )
        self.sections = {encode_for_write(name) for name in adapter.get_section_names()}
        """The names of the sections that were there."""

    def count(self, section: bytes) -> int:
        """Return the number of items of *section*."""
        # The empty member is what the plain layout marks an empty section by.
        members: int = self._ask("SCARD", self._prefix + section)
        marks: int = self._ask("SISMEMBER", self._prefix + section, b"")
        return members - marks

    def absent(self, section: bytes, items: Sequence[bytes]) -> list[bytes]:
        """Return those of *items* that *section* does not have."""
        found = self._ask("SMISMEMBER", self._prefix + section, *items)
        return [item for item, is_there in zip(items, found, strict=True) if not is_there]

    def _ask(self, *command: bytes | str) -> Any:
        try:
            client: Any = self._adapter.db_connection
            return client.execute_command(*command)
        except redis.RedisError as error:
            raise source_error(
                error, Operation(str(command[0])), self._adapter.place, lost_reply=False
            ) from without_secrets(error)
