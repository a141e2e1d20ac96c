"""What comes before a command: what cannot be imported, and Ctrl-C before all is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# It does what is said where a module is imported, and then what the installed program does.
START = """
import sys

module = sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise {error}

sys.meta_path.insert(0, Finder())
from repoze.what.plugins.redis.command import main
main()
"""
CAN = ("can", "rosa", "publish")


def start(module, error, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", START.format(error=error), module, *arguments],
        env={**os.environ, "REPOZE_WHAT_REDIS_URL": "redis://127.0.0.1:1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["redis", "redis.sentinel", "more_itertools"])
@pytest.mark.parametrize("error", ["ModuleNotFoundError", "OSError", "AttributeError"])
def test_what_cannot_be_imported_is_no_answer(module, error):
    """Neither a yes nor a no."""
    result = start(module, f"{error}('it is not there')", *CAN)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].endswith("it is not there")


@pytest.mark.parametrize(
    "module", ["redis", "click", "repoze.what.adapters", "repoze.what.plugins.redis.adapters"]
)
def test_interrupted_before_all_is_imported(module):
    result = start(module, "KeyboardInterrupt", *CAN)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "Interrupted.\n")


def test_interrupted_where_nobody_reads_on():
    """It is told to nobody, and the status is the same."""
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-c", START.format(error="KeyboardInterrupt"), "redis", *CAN],
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
        )
    assert (result.returncode, result.stdout) == (130, b"")
