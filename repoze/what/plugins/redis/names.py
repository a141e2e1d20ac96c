"""Sections and items: text to an application, bytes to Redis."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from types import NoneType
from typing import cast

from repoze.what.adapters import SourceError

Name = str | bytes | int
"""What may name a section or an item. An `int` stands for its decimal text."""

# In characters, of what is shown of a name.
_LONGEST = 200
_SHOWN = 5
_PLAIN = frozenset((str, bytes, bool, int, float, NoneType))
_CONTAINERS = frozenset((list, tuple, set, frozenset))


def encode(name: object) -> bytes | None:
    """Return the bytes that *name* is stored as, or `None` where it can name nothing.

    Text is stored as UTF-8, numbers as their decimal text, bytes as they are. Nothing is named by
    an empty name, by `None` or a `bool`, by an object of another type, or by a `str` that no
    bytes decode to (one with a lone surrogate that `decode` would not have produced).
    """
    if isinstance(name, str):
        try:
            return name.encode() or None
        except UnicodeEncodeError:
            return _encode_escaped(name)
    if isinstance(name, bytes):
        return bytes(name) or None
    if isinstance(name, int) and not isinstance(name, bool):
        return _encode_number(name)
    return None


def encode_for_write(name: object) -> bytes:
    """Return the bytes that *name* is stored as.

    :raises SourceError: where *name* can name nothing; see `encode`.
    """
    encoded = encode(name)
    if encoded is None:
        raise SourceError(
            f"{described(name)} cannot name a section or an item: "
            "a name is text, UTF-8 bytes or an int, and not empty",
            written=False,
        )
    return encoded


def encode_text(text: str | None) -> bytes:
    """Return the bytes of *text*, which names nothing: whatever is in it, and if it is none."""
    if text is None:
        return b""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def encode_known(names: Iterable[object]) -> set[bytes]:
    """Return the bytes that those of *names* are stored as which can name something."""
    encoded = {encode(name) for name in names}
    encoded.discard(None)
    return cast(set[bytes], encoded)


def decode(name: bytes) -> str:
    """Return the text of *name*; bytes that are not UTF-8 survive in it, as in PEP 383."""
    return name.decode("utf-8", "surrogateescape")


def decode_all(names: Iterable[bytes]) -> set[str]:
    """Return the texts of *names*, as `decode` does; this is in the path of every lookup."""
    return {name.decode("utf-8", "surrogateescape") for name in names}


def described(value: object) -> str:
    """Return *value* for people to read, whatever it is: in one line, cut where it is very long."""
    text = f"an object of type {type(value).__name__}"
    # An int of many digits has no repr, and what refers to itself is no end of work.
    with suppress(ValueError, RecursionError):
        if _is_plain(value):
            text = repr(value)
    return text[:_LONGEST]


def _is_plain(value: object) -> bool:
    """Whether no code of somebody else's runs, and may raise anything, where *value* is shown."""
    if type(value) in _CONTAINERS:
        return all(map(_is_plain, cast(Iterable[object], value)))
    return type(value) in _PLAIN


def listed(names: Sequence[bytes]) -> str:
    """Return *names* for people to read: the first three, each cut where it is very long."""
    shown = [described(decode(name)) for name in names[:3]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown):,} more")
    return ", ".join(shown)


def some(names: Collection[str]) -> str:
    """Return *names* for people to read: the first five in order, and how many more there are."""
    shown = [described(name) for name in sorted(names)[:_SHOWN]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown):,} more")
    return ", ".join(shown)


def _encode_escaped(name: str) -> bytes | None:
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    # Escapes that spell valid UTF-8 would make two texts one name: somebody else's, perhaps.
    return encoded if decode(encoded) == name else None


def _encode_number(name: int) -> bytes | None:
    try:
        return b"%d" % name
    except ValueError:
        # Python limits the digits that it converts.
        return None
