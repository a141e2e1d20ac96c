"""The kinds of replies that operations expect. A reply of another kind makes no sense.

It is refused before anything is made of it: it may be the answer to something else. The redis error
that is raised leaves the connection closed, and the outcome of a write unknown.
"""

from collections.abc import Callable, Iterator
from typing import Any

from redis import InvalidResponse

from repoze.what.plugins.redis.names import decode, described

_BYTES = frozenset((bytes,))


def texts(reply: Any) -> list[bytes] | set[bytes]:
    """Return *reply*, which is several texts; RESP3 has sets of them, too."""
    if not isinstance(reply, (list, set)) or not _BYTES.issuperset(map(type, reply)):
        raise InvalidResponse(f"names were expected, not {described(reply)}")
    return reply


def joined_texts(length: Any, reply: Any) -> list[str] | None:
    """Return the *length* texts in *reply*, which has NUL between two; `None` if it is in one."""
    if not isinstance(reply, bytes):
        raise InvalidResponse(f"names were expected, not {described(reply)}")
    found = decode(reply).split("\0") if number(length) else []
    if len(found) < length or (reply and not length):
        raise InvalidResponse(f"{length} names were expected, not {described(reply)}")
    return found if len(found) == length else None


def array(reply: Any, *, length: int | None = None) -> list[Any]:
    """Return *reply*, which is an array, of *length* elements if that is given."""
    if not isinstance(reply, list) or length not in {None, len(reply)}:
        raise InvalidResponse(f"an array was expected, not {described(reply)}")
    return reply


def number(reply: Any) -> int:
    """Return *reply*, which is a number from 0."""
    if type(reply) is not int or reply < 0:
        raise InvalidResponse(f"a number was expected, not {described(reply)}")
    return reply


def flag(reply: Any) -> bool:
    """Return whether *reply*, which is 0 or 1, is 1."""
    if number(reply) > 1:
        raise InvalidResponse(f"0 or 1 was expected, not {described(reply)}")
    return bool(reply)


def pages(read: Callable[[bytes], Any]) -> Iterator[list[Any]]:
    """Yield what follows the cursor in each reply of a scan, until the cursor is 0 again.

    :param read: is called with a cursor, and returns a reply, which begins with the next.
    """
    cursor = b"0"
    seen = set()
    while True:
        cursor, *page = array(read(cursor))
        # A scan goes on, also where keys come and go: none of its cursors comes twice.
        if cursor in seen or not isinstance(cursor, bytes):
            raise InvalidResponse(f"the next cursor was expected, not {described(cursor)}")
        yield page
        if cursor == b"0":
            return
        seen.add(cursor)
