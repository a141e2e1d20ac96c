"""Both sources as JSON: ``{"groups": {GROUP: [USER, ...]}, "permissions": {NAME: [GROUP, ...]}}``.

It is written and read as a stream.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import IO, Any, NoReturn, TextIO

import ijson

# Names that are not UTF-8 have escapes such as \udcff, which the parsers in C refuse.
from ijson.backends import python as parser

from repoze.what.plugins.redis.names import described

from .exporting import Sections
from .failures import Failure
from .sources import KINDS
from .staging import Entry

_Events = Iterator[tuple[str, Any]]
# The parser keeps what it has been given until that ends between two names, which rarely happens
# where these are long.
_BYTES_AT_A_TIME = 1024


def write_json(out: TextIO, sources: Iterable[tuple[str, Sections]]) -> None:
    """Write *sources*: the kind of each, and its sections."""
    before = "{"
    for kind, sections in sources:
        out.write(f"{before}\n  {json.dumps(kind)}: {{")
        before = ""
        for section, items in sections:
            out.write(f"{before}\n    {json.dumps(section)}: {json.dumps(items)}")
            before = ","
        out.write("\n  }")
        before = ","
    out.write("\n}\n")


def read_json(file: IO[bytes]) -> Iterator[Entry]:
    """Return what is in *file*, which is read as it is asked for.

    :raises Failure: where it is no such JSON.
    """
    try:
        yield from _read(parser.basic_parse(file, buf_size=_BYTES_AT_A_TIME))
    except (ijson.JSONError, ValueError) as error:
        raise Failure(f"That is no JSON, or not all of it: {error}") from error


def _read(events: _Events) -> Iterator[Entry]:
    _expect(events, "start_map", "An object with groups and permissions")
    for kind in _keys(events):
        if kind not in KINDS:
            _refuse("The key 'groups' or 'permissions'", kind)
        _expect(events, "start_map", f"The value of {kind!r}, an object with a list for each,")
        for section in _keys(events):
            yield kind, section, None
            _expect(events, "start_array", f"A list for {described(section)} of {kind!r}")
            for event, value in takewhile(_is_no_end, events):
                if event not in {"string", "number"} or not isinstance(value, str | int):
                    _refuse(f"A name in the list for {described(section)} of {kind!r}", value)
                yield kind, section, value
    # What comes after it is an error.
    next(events, None)


def _keys(events: _Events) -> Iterator[str]:
    for event, value in events:
        if event == "end_map":
            return
        yield value


def _is_no_end(found: tuple[str, Any]) -> bool:
    return found[0] != "end_array"


def _expect(events: _Events, event: str, what: str) -> None:
    found, value = next(events)
    if found != event:
        _refuse(what, value if value is not None else found)


def _refuse(what: str, found: object) -> NoReturn:
    raise Failure(f"{what} is wanted in the JSON, not {described(found)}.")
