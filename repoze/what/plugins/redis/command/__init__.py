"""The command line, ``repoze-what-redis``. It needs the distribution's ``cli`` extra.

Without it this module can be imported all the same, and `main` says what is missing.
"""

import sys
from importlib import import_module

EXTRAS = {"click": "cli", "ijson": "cli", "sqlalchemy": "cli,sql"}


def main() -> None:
    """Run the command that the command line names, and exit with its status.

    That is 0 where it is done, or the answer is yes; 1 where the answer is no, or `check` or
    `repair` found something; 2 where it was not possible, which is then said on the standard error;
    130 where it was interrupted.
    """
    # One that is closed is None.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # What a terminal's encoding does not have is no reason to fail.
        stream.reconfigure(errors="backslashreplace")
    try:
        program = import_module(".program", __package__).program
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Error: {missing(error)}\n")
        sys.exit(2)
    program.main(prog_name="repoze-what-redis")


def missing(error: ModuleNotFoundError) -> str:
    """Return what to do about *error*, which is raised again where it is not of an extra."""
    if error.name not in EXTRAS:
        raise error
    return (
        f"{error.name} is not installed. "
        f"Run: pip install 'repoze.what.plugins.redis[{EXTRAS[error.name]}]'"
    )
