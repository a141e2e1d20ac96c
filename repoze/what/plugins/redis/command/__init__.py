"""The command line, ``repoze-what-redis``. It needs the distribution's ``cli`` extra.

Without it this module can be imported all the same, and `main` says what is missing.
"""

import os
import socket
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
        program = import_module(".program", __package__)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Error: {missing(error)}\n")
        sys.exit(NOT_POSSIBLE)
    program.run()


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
    sys.stdin = sys.stdin or _open_closed("r")
    sys.stdout = sys.stdout or _open_closed("w")
    if not sys.stderr:
        _open_closed("w")
        # Nobody can be told that nobody can be told.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _open_closed(mode: str) -> TextIO:
    # A socket that is not connected fails as what is closed does: when it is used, and also where
    # it is opened anew by a name such as /dev/stdout. Of each kind, either end says ENOTCONN.
    family = socket.AF_INET if mode == "r" else socket.AF_UNIX
    number = socket.socket(family).detach()
    return cast(TextIO, open(number, mode, encoding="utf-8", closefd=False))


def _forget_what_cannot_be_written() -> None:
    # That has been told. When Python ends it would fail once more, and change the exit status.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
