"""What an export reads of a source, and the file that it writes."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from secrets import token_hex
from typing import Literal, TextIO

from more_itertools import chunked

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.names import described, some

from .asking import ask
from .changes import ITEMS_OF, SECTION_OF
from .ends import Ends
from .failures import Failure
from .output import progress

Sections = Iterable[tuple[str, list[str]]]
"""The names of sections, each with its items."""
EndingSections = Iterable[tuple[str, Ends]]
"""The names of sections, each with its items and when these end."""

_SECTIONS_AT_A_TIME = 100


def sections_of(adapter: RedisAdapter, kind: str) -> Iterator[tuple[str, Ends]]:
    """Return the sections of a source, each with its items, in the order of their names.

    100 are read at a time, each consistent in itself, and a progress bar says how far it is.
    """
    return _read(adapter, kind, sorted(adapter.get_section_names()))


def _read(adapter: RedisAdapter, kind: str, names: Sequence[str]) -> Iterator[tuple[str, Ends]]:
    with progress(kind, len(names)) as bar:
        for page in chunked(names, _SECTIONS_AT_A_TIME):
            yield from sorted(adapter.get_many_sections_until(page).items(), key=itemgetter(0))
            bar.update(len(page))


def for_good(
    sections: EndingSections, kind: str, form: str, *, only_for_good: bool
) -> Iterator[tuple[str, list[str]]]:
    """Return *sections* for a form that cannot say when something ends.

    :param form: what has no ends, for the error to name.
    :param only_for_good: whether to leave out what ends.
    :raises Failure: where something ends, and is not to be left out.
    """
    for section, items in sections:
        names = sorted(item for item, until in items.items() if until is None)
        if len(names) < len(items) and not only_for_good:
            raise Failure(
                f"The {SECTION_OF[kind]} {described(section)} has {ITEMS_OF[kind]} for a time "
                f"only: {some(items.keys() - set(names))}. {form} cannot say when that ends. "
                "Export JSON, or say --only-for-good to leave such out."
            )
        yield section, names


@contextmanager
def new_file(name: str, *, yes: bool) -> Iterator[TextIO]:
    """Open a file to write, which takes its name when all is written, and not before.

    :param yes: whether to replace one that is there without asking.
    """
    try:
        with _new_file(Path(name), yes=yes) as file:
            yield file
    except OSError as error:
        # It may name the file that was to become this one, or none.
        raise OSError(error.errno, error.strerror, name) from error


@contextmanager
def _new_file(path: Path, *, yes: bool) -> Iterator[TextIO]:
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        # A pipe, or a device.
        with _open(path, "w") as file:
            yield file
        return
    if mode is not None:
        ask(f"There is a file {described(str(path))}. Replace it?", yes=yes)
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    unfinished = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with _open(unfinished, "x") as file:
            if mode is not None:
                # What others could not read stays so.
                unfinished.chmod(stat.S_IMODE(mode))
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _open(path: Path, mode: Literal["w", "x"]) -> TextIO:
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")
