"""The package's names, which are imported when they are asked for."""

import importlib
import pickle
import subprocess
import sys

import pytest

from repoze.what import adapters
from repoze.what.plugins import redis as package

NAME = package.__name__


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_names():
    namespace = {}
    exec(f"from {NAME} import *", namespace)  # noqa: S102
    assert namespace.keys() - {"__builtins__"} == set(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert namespace[name] is getattr(package, name)
    assert package.SourceError is adapters.SourceError
    assert pickle.loads(pickle.dumps(package.RedisGroupAdapter)) is package.RedisGroupAdapter  # noqa: S301
    # They are where they were.
    assert package.RedisGroupAdapter.__module__ == f"{NAME}.adapters"


def test_each_name_has_a_module():
    assert list(package._MODULES) == package.__all__


def test_nothing_is_imported_before_it_is_asked_for():
    """Of the command line, too, which has to tell what cannot be imported."""
    program = f"""
import sys
import {NAME}.command
print(*sorted(name for name in sys.modules if name.startswith(("redis", "repoze.what."))))
assert set(dir({NAME})) >= set({NAME}.__all__)
assert "redis" not in sys.modules
"""
    result = run(program)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["repoze.what.plugins", NAME, f"{NAME}.command"]


@pytest.mark.parametrize("name", sorted(package._SUBMODULES))
def test_submodules_are_attributes(name):
    """As they are where the package imports them itself."""
    result = run(f"import {NAME}; print({NAME}.{name}.__name__)")
    assert (result.returncode, result.stdout) == (0, f"{NAME}.{name}\n")
    assert getattr(package, name) is importlib.import_module(f"{NAME}.{name}")


HIDE = """
import sys
import traceback

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise {error}

sys.meta_path.insert(0, Finder())
for then in sys.argv[2:]:
    try:
        exec(then, {{}})
    except Exception:
        print(traceback.format_exc(), end="\\0")
    # As in a process that has imported nothing of it yet.
    for name in [name for name in sys.modules if name.startswith("repoze")]:
        del sys.modules[name]
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ModuleNotFoundError('No module')", "ModuleNotFoundError: No module"),
        ("ImportError('cannot import')", "ImportError: cannot import"),
        ("OSError('it cannot be read')", "OSError: it cannot be read"),
        ("AttributeError('it has no name')", "ImportError: it has no name"),
    ],
)
def test_what_cannot_be_imported_is_told(error, said):
    """A dependency's error is not taken for a name that this package does not have."""
    ways = (
        f"from {NAME} import RedisGroupAdapter",
        f"from {NAME} import *",
        f"import {NAME} as package; package.RedisGroupAdapter",
        f"import {NAME} as package; package.adapters",
    )
    result = run(HIDE.format(error=error), "more_itertools", *ways)
    assert (result.returncode, result.stderr) == (0, "")
    told = result.stdout.split("\0")[:-1]
    assert len(told) == len(ways)
    for each in told:
        assert each.splitlines()[-1] == said
        assert "in find_spec" in each
