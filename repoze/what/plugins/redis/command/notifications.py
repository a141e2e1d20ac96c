"""Redis' keyspace notifications: which sections have been written."""

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, cast

import redis

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.connection.failures import Operation, source_error, without_secrets
from repoze.what.plugins.redis.names import decode

from .failures import Failure

_SETTING = "notify-keyspace-events"
# By key: of sets, and of what goes for keys of any type, such as DEL and RENAME.
_NEEDED = frozenset("Ksg")
_SECONDS_OF_SILENCE = 5.0
_SECONDS_TO_COLLECT = 0.2

Written = dict[str, set[str]]
"""By kind, the sections whose items were written."""


class Notifications:
    """What a server announces about both sources, from the moment that this is made.

    :param adapters: by kind, those of the sources.
    :raises Failure: where the server does not announce what it would have to.
    :raises SourceError: where it refuses; `SourceUnavailable` where it cannot be reached.
    """

    def __init__(self, adapters: Mapping[str, RedisAdapter]) -> None:
        self._place = adapters["groups"].place
        # On the plain layout, which is on no cluster.
        client = cast(redis.Redis, adapters["groups"].db_connection)
        self._patterns = {
            pattern: (kind, prefix)
            for kind, adapter in adapters.items()
            for pattern, prefix in _patterns(adapter)
        }
        self._ask(_check_setting, client)
        self._subscription = client.pubsub()
        self._ask(self._subscription.psubscribe, *self._patterns)
        # The server says so for each, with the number of those that there are.
        while self._wait()["data"] != len(self._patterns):
            continue

    def __iter__(self) -> Iterator[Written]:
        """Return what has been written, some of it at a time, as it comes."""
        while True:
            written: Written = {}
            try:
                first = self._wait()
            except KeyboardInterrupt:
                return
            self._note(first, written)
            end = monotonic() + _SECONDS_TO_COLLECT
            while (seconds := end - monotonic()) > 0:
                self._note(self._message(seconds), written)
            yield written

    def _wait(self) -> dict[str, Any]:
        message = self._message(_SECONDS_OF_SILENCE)
        if message is None:
            # Nothing may have happened, or the connection be gone without a word.
            self._ask(self._subscription.ping)
            message = self._message(_SECONDS_OF_SILENCE)
        if message is None:
            raise self._error(redis.TimeoutError("it fell silent"))
        return message

    def _message(self, seconds: float) -> dict[str, Any] | None:
        message: dict[str, Any] | None = self._ask(self._subscription.get_message, timeout=seconds)
        return message

    def _ask(self, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return ask(*arguments, **options)
        except redis.RedisError as error:
            raise self._error(error) from without_secrets(error)

    def _note(self, message: dict[str, Any] | None, written: Written) -> None:
        if message is not None and message["type"] == "pmessage":
            kind, prefix = self._patterns[message["pattern"]]
            section = decode(message["channel"].removeprefix(prefix))
            written.setdefault(kind, set()).add(section)

    def _error(self, error: redis.RedisError) -> SourceError:
        return source_error(error, Operation("watch"), self._place, lost_reply=False)


def _patterns(adapter: RedisAdapter) -> Iterator[tuple[bytes, bytes]]:
    """Return the channels to listen to, each with what comes before the name of a section."""
    database = adapter.db_connection.get_connection_kwargs().get("db") or 0
    prefix = b"__keyspace@%d__:" % database
    for pattern, before_name in adapter.key_patterns:
        yield prefix + pattern, prefix + (before_name or b"")


def _check_setting(client: redis.Redis) -> None:
    """Raise `Failure` where *client* 's server does not announce what is needed."""
    try:
        settings: Any = client.config_get(_SETTING)
    except redis.ResponseError:
        # Not everybody may look, nor has every service the command.
        return
    if _SETTING not in settings:
        return
    flags: str = settings[_SETTING]
    announced = set(flags) | set("sg" if "A" in flags else "")
    if not announced >= _NEEDED:
        wanted = "".join(sorted({*flags, *_NEEDED}))
        raise Failure(
            f"The server does not announce changes. Have it do so, with redis-cli CONFIG SET "
            f"{_SETTING} {wanted}; or have the sources compared from time to time: watch --every 5"
        )
