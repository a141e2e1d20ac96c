"""The command line, ``repoze-what-redis``. It needs the distribution's ``cli`` extra.

Without it this module can be imported all the same, and `main` says what is missing.
"""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import TextIO, cast

EXTRAS = {"click": "cli", "sqlalchemy": "cli,sql"}
NOT_POSSIBLE = 2
"""The exit status where a command could not do what it was told. That of an answer is 1."""


def main() -> None:
    """Run the command that the command line names, and exit with its status.

    That is 0 where it is done, or the answer is yes; 1 where the answer is no, or `check` or
    `repair` found something; 2 where it was not possible, and 3 where it was asked about what is
    not there, which is then said on the standard error; 130 where it was interrupted.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding does not have is no reason to fail.
        cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")
    try:
        _run()
    except Exception:  # noqa: BLE001 - Python would end with 1 then, and that is an answer
        sys.excepthook(*sys.exc_info())
        sys.exit(NOT_POSSIBLE)
    finally:
        _forget_what_cannot_be_written()


def _run() -> None:
    try:
        program = import_module(".program", __package__).program
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Error: {missing(error)}\n")
        sys.exit(NOT_POSSIBLE)
    program.main(prog_name="repoze-what-redis")


def missing(error: ModuleNotFoundError) -> str:
    """Return what to do about *error*, which is raised again where it is not of an extra."""
    if error.name not in EXTRAS:
        raise error
    return (
        f"{error.name} is not installed. "
        f"Run: pip install 'repoze.what.plugins.redis[{EXTRAS[error.name]}]'"
    )


def _open_closed_streams() -> None:
    # Python has None for what is closed, as by >&-. And a file or a connection that is opened then
    # would take its number, and get what is written there.
    sys.stdin = sys.stdin or _open_null("r", os.O_WRONLY)
    sys.stdout = sys.stdout or _open_null("w", os.O_RDONLY)
    # Nobody can be told that nobody can be told.
    sys.stderr = sys.stderr or _open_null("w", os.O_WRONLY)


def _open_null(mode: str, flags: int) -> TextIO:
    # Where the flags are not for the mode, it fails as what is closed does, and when it is used.
    return cast(TextIO, open(os.open(os.devnull, flags), mode, encoding="utf-8"))  # noqa: PTH123


def _forget_what_cannot_be_written() -> None:
    # That has been told. When Python ends it would fail once more, and change the exit status.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
