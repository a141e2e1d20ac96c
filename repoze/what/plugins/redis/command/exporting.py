"""What an export reads of a source, and the file that it writes."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Literal, TextIO

from more_itertools import chunked

from repoze.what.plugins.redis.adapters import RedisAdapter
from repoze.what.plugins.redis.names import described

from .asking import ask
from .output import progress

Sections = Iterable[tuple[str, list[str]]]
"""The names of sections, each with its items."""

_SECTIONS_AT_A_TIME = 100


def sections_of(adapter: RedisAdapter, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Return the sections of a source, each with its items, in the order of their names.

    100 are read at a time, each consistent in itself, and a progress bar says how far it is.
    """
    return _read(adapter, kind, sorted(adapter.get_section_names()))


def _read(
    adapter: RedisAdapter, kind: str, names: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    with progress(kind, len(names)) as bar:
        for page in chunked(names, _SECTIONS_AT_A_TIME):
            for name, items in sorted(adapter.get_many_section_items(page).items()):
                yield name, sorted(items)
            bar.update(len(page))


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
