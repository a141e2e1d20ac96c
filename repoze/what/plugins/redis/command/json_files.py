r"""Both sources as JSON: ``{"groups": {GROUP: [USER, ...]}, "permissions": {NAME: [GROUP, ...]}}``.

That is what is so for good. What ends is apart, so that a program that knows nothing of it makes
nobody permanent: ``"until": {"groups": {GROUP: {USER: TIME, ...}}, "permissions": ...}``. It is not
there where nothing ends.

It is written and read as a stream, in memory of the length of a name. Names that are not UTF-8 have
escapes such as ``\udcff``.
"""

import json
import re
import shutil
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple, NoReturn, TextIO, cast

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis.names import described, encode_for_write
from repoze.what.plugins.redis.times import aware

from .ends import ends_as_json
from .exporting import EndingSections
from .failures import Failure
from .sources import KINDS
from .staging import Entry

UNTIL = "until"
"""The key of what ends."""

_BYTES_AT_A_TIME = 1 << 16
_BLANKS = re.compile("[ \t\n\r]*")
# What may be cut short where what has been read so far ends is one as well.
_TOKEN = re.compile(
    r'(?P<text>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*(?P<end>"?))'
    r"|(?P<number>-?[0-9][0-9.eE+-]*)"
    r"|(?P<word>[a-z]+)"
    r"|(?P<sign>[][{}:,])",
    re.DOTALL,
)
_WHOLE_NUMBER = re.compile("-?(?:0|[1-9][0-9]*)")
_WORDS = frozenset(("true", "false", "null"))
_IN_WORDS = {
    "[": "a list",
    "{": "an object",
    "text": "a text",
    "number": "a number",
    "end": "the end",
}


def write_json(out: TextIO, sources: Iterable[tuple[str, EndingSections]]) -> None:
    """Write *sources*: the kind of each, and its sections."""
    before = "{"
    # What ends comes last, and is read with the rest: of two readings, one could lack the end of
    # what the other has.
    with SpooledTemporaryFile(_BYTES_AT_A_TIME, "w+", encoding="ascii") as ending:
        before_end = f',\n  "{UNTIL}": {{'
        for kind, sections in sources:
            out.write(f"{before}\n  {json.dumps(kind)}: {{")
            before = ""
            before_section = f"{before_end}\n    {json.dumps(kind)}: {{"
            for section, items in sections:
                name = json.dumps(section)
                for_good = sorted(item for item, until in items.items() if until is None)
                out.write(f"{before}\n    {name}: {json.dumps(for_good)}")
                before = ","
                if ends := ends_as_json(items):
                    ending.write(f"{before_section}\n      {name}: {json.dumps(ends)}")
                    before_section, before_end = ",", "\n    },"
            out.write("\n  }")
            before = ","
        if ending.tell():
            ending.write("\n    }\n  }")
            ending.seek(0)
            shutil.copyfileobj(ending, out)
    out.write("\n}\n")


def read_json(file: IO[bytes], keys: set[str] | None = None) -> Iterator[Entry]:
    """Return what is in *file*, which is read as it is asked for.

    :param keys: gets the keys that are met: those of `KINDS`, and `UNTIL`.
    :raises Failure: where it is no such JSON. It tells the line, and not what stands there.
    """
    tokens = _Tokens(file)
    tokens.expect("{", "an object with groups and permissions")
    for key in _each_once(tokens, (*KINDS, UNTIL)):
        if keys is not None:
            keys.add(key)
        if key == UNTIL:
            yield from _read_ends(tokens)
        else:
            yield from _read_sections(tokens, key)
    tokens.expect("end", "nothing more")


def _read_sections(tokens: "_Tokens", kind: str) -> Iterator[Entry]:
    tokens.expect("{", f"an object with a list for each of the {kind}")
    for key in _keys(tokens):
        section = _name(tokens, key)
        yield Entry(kind, section)
        tokens.expect(":", "a colon")
        tokens.expect("[", f"a list for {described(key)}")
        for item in _items(tokens):
            yield Entry(kind, section, _name(tokens, item))


def _read_ends(tokens: "_Tokens") -> Iterator[Entry]:
    tokens.expect("{", "an object with groups and permissions")
    for kind in _each_once(tokens, KINDS):
        tokens.expect("{", f"an object with an object for each of the {kind}")
        for key in _keys(tokens):
            section = _name(tokens, key)
            tokens.expect(":", "a colon")
            tokens.expect("{", f"an object with a time for each name in {described(key)}")
            for item in _keys(tokens):
                name = _name(tokens, item)
                tokens.expect(":", "a colon")
                yield Entry(kind, section, name, _time(tokens))


def _each_once(tokens: "_Tokens", keys: Sequence[str]) -> Iterator[str]:
    """Return those of *keys* that an object has that has begun. Values are read in between."""
    left = set(keys)
    for key in _keys(tokens):
        if key not in left:
            *others, last = (f"'{each}'" for each in keys)
            tokens.refuse(f"{', '.join(others)} or {last} is wanted there, each of them once")
        left.remove(key)
        tokens.expect(":", "a colon")
        yield key


def _time(tokens: "_Tokens") -> datetime:
    token = tokens.next()
    if token.kind != "text":
        tokens.refuse_kind("a time in quotes", token)
    try:
        return aware("it", datetime.fromisoformat(token.value))
    except ValueError:
        # Of which machine a time without a zone is that is kept in a file, nobody knows.
        tokens.refuse("a time with its zone is wanted there, such as 2027-01-31T12:00+01:00")


def _keys(tokens: "_Tokens") -> Iterator[str]:
    """Return the keys of an object that has begun. Colon and value are read in between."""
    for token in _elements(tokens, "}"):
        if token.kind != "text":
            tokens.refuse_kind("a name in quotes", token)
        yield token.value


def _items(tokens: "_Tokens") -> Iterator[str]:
    for token in _elements(tokens, "]"):
        if token.kind == "text":
            yield token.value
        elif token.kind == "number" and _WHOLE_NUMBER.fullmatch(token.value):
            yield "0" if token.value == "-0" else token.value
        else:
            tokens.refuse_kind("a name, which is a text or a whole number,", token)


def _elements(tokens: "_Tokens", end: str) -> Iterator["_Token"]:
    token = tokens.next()
    while token.kind != end:
        yield token
        token = tokens.next()
        if token.kind == ",":
            token = tokens.next()
            if token.kind == end:
                tokens.refuse("there is a comma too many before that")
        elif token.kind != end:
            tokens.refuse_kind(f"a comma or {end}", token)


def _name(tokens: "_Tokens", name: str) -> bytes:
    try:
        return encode_for_write(name)
    except SourceError as error:
        tokens.refuse(str(error))


class _Token(NamedTuple):
    kind: str
    """Of text, numbers and the end, its name; else, what stands there."""
    value: str


class _Tokens:
    """The parts of *file*, each once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        # It passes over the mark that Windows' programs begin with.
        self._decoder = getincrementaldecoder("utf-8-sig")()
        self._is_read = False
        self._text = ""
        self._position = 0
        """Where in the text the token begins that was returned last."""
        self._next = 0
        self._line = 1
        self._column = 1
        """Where the text begins."""

    def next(self) -> _Token:
        """Return the next one. It is the end when there are no more."""
        while True:
            blanks = cast(re.Match[str], _BLANKS.match(self._text, self._next))
            self._position = blanks.end()
            found = _TOKEN.match(self._text, self._position)
            ends_early = found is None or (found["text"] is not None and not found["end"])
            end = self._position if found is None else found.end()
            # What was read may end within an escape.
            if not self._is_read and end + ends_early >= len(self._text):
                self._read()
            elif found is None and end == len(self._text):
                return _Token("end", "")
            elif found is None or ends_early:
                self._position = end
                self.refuse("that is no JSON")
            else:
                self._next = end
                return self._token(found)

    def _token(self, found: re.Match[str]) -> _Token:
        kind, text = str(found.lastgroup), found[0]
        if kind == "text":
            try:
                return _Token(kind, json.loads(text))
            except ValueError:
                self.refuse("that is no JSON: there is no such escape as in this text")
        if kind == "sign" or (kind == "word" and text in _WORDS):
            return _Token(text, text)
        if kind == "word":
            self.refuse("that is no JSON: text is written in double quotes")
        return _Token(kind, text)

    def expect(self, kind: str, wanted: str) -> None:
        """Take the next one, which has to be of a kind. *wanted* is what that is, in words."""
        token = self.next()
        if token.kind != kind:
            self.refuse_kind(wanted, token)

    def refuse_kind(self, wanted: str, token: _Token) -> NoReturn:
        """Say that something else than *token* is *wanted*."""
        self.refuse(f"{wanted} is wanted there, not {_IN_WORDS.get(token.kind, token.kind)}")

    def refuse(self, problem: str) -> NoReturn:
        """Say where the token stands that was returned last, and what is wrong with it."""
        self._drop(self._position)
        raise Failure(f"line {self._line:,}, column {self._column:,}: {problem}.")

    def _read(self) -> None:
        self._drop(self._position)
        # As much again as there is, so that a text is not looked through for each block of it.
        block = self._file.read(max(_BYTES_AT_A_TIME, len(self._text)))
        self._is_read = not block
        try:
            self._text += self._decoder.decode(block, final=self._is_read)
        except UnicodeDecodeError as error:
            self._text += error.object[: error.start].decode("utf-8-sig")
            self._position = len(self._text)
            self.refuse("that is not UTF-8")

    def _drop(self, end: int) -> None:
        self._line += self._text.count("\n", 0, end)
        line = self._text.rfind("\n", 0, end)
        self._column = end - line if line >= 0 else self._column + end
        self._text = self._text[end:]
        self._position = self._next = 0
