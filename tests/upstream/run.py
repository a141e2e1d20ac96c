"""Run the tests of repoze.what 1.0.9 against this edition of its API.

They come from its source release, which pip cannot fetch (its setup is Python 2), are converted to
Python 3 in a temporary directory, and are run there by pytest::

    python tests/upstream/run.py [pytest's options]

It fails if a test fails that `EXCEPTIONS` does not name, or if one passes that it does.
"""

import hashlib
import importlib.util
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from fissix.refactor import RefactoringTool, get_fixers_from_package
from pypi_simple import PyPISimple

RELEASE = "repoze.what-1.0.9"
SHA256 = "8af121b16cc4977d1fe22336887f979055393e97d7a5d1465633c534656e6a36"

NAME_REGISTRY = "reads app.name_registry: since repoze.who 2 each request has its own instead"
EXCEPTIONS = {
    "tests/test_release.py": "tests repoze.what.release, which is left out",
    "tests/test_middleware.py::TestSetupAuth::test_no_extras": NAME_REGISTRY,
    "tests/test_middleware.py::TestSetupAuth::test_no_groups_and_permissions": NAME_REGISTRY,
    "tests/test_middleware.py::TestSetupAuth::test_without_authentication": NAME_REGISTRY,
    "tests/test_middleware.py::TestSetupAuth::test_with_auth_log": (
        "gives lists of adapters in place of dicts: refused, for no user could log in"
    ),
}

# What fissix cannot know, by module: the converted text, and what takes its place.
REPLACEMENTS = {
    "test_adapters.py": {
        # zope.interface has it no more; the tests import it without using it.
        "from zope.interface import implements\n": "",
    },
    "test_middleware.py": {
        # Distributions of their own, for Python 2 only.
        "from repoze.who.plugins.form import": "from .who1 import",
        "from repoze.who.plugins.testutil import": "from .who1 import",
    },
    "test_predicates.py": {
        # A WSGI server gives bytes.
        "from io import StringIO": "from io import BytesIO",
        "StringIO(body)": "BytesIO(body.encode())",
    },
}

# The plugins of repoze.who 1 that the tests only construct.
WHO1 = """
class RedirectingFormPlugin:
    def __init__(self, *args, **kwargs):
        pass

    def identify(self, environ):
        pass

    remember = forget = challenge = identify


class AuthenticationForgerPlugin:
    pass


class AuthenticationForgerMiddleware:
    pass
"""


class Exceptions:
    """The pytest plugin that expects the exceptions, and nothing else, to fail."""

    def pytest_collection_modifyitems(self, items):
        for item in items:
            if item.nodeid in EXCEPTIONS:
                reason = EXCEPTIONS[item.nodeid]
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def fetch(directory):
    """Download the release into ``directory`` and return its path there."""
    archive = directory / f"{RELEASE}.tar.gz"
    with PyPISimple() as client:
        packages = client.get_project_page("repoze.what").packages
        [package] = [package for package in packages if package.filename == archive.name]
        client.download_package(package, archive, verify=False)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"{archive.name} is not what it was: its SHA-256 is {digest}")
    return archive


def extract(archive, tests):
    """Put the modules of the tests, and nothing else of the release, into ``tests``."""
    with tarfile.open(archive) as release:
        for member in release:
            path = PurePosixPath(member.name)
            if path.parent == PurePosixPath(RELEASE, "tests") and path.suffix == ".py":
                (tests / path.name).write_bytes(release.extractfile(member).read())


def convert(tests):
    """Make Python 3 of the modules in ``tests``."""
    fixers = get_fixers_from_package("fissix.fixes")
    tool = RefactoringTool(fixers, explicit=["fissix.fixes.fix_asserts"])
    for module in tests.glob("*.py"):
        text = str(tool.refactor_string(module.read_text("utf-8"), str(module)))
        for old, new in REPLACEMENTS.get(module.name, {}).items():
            if old not in text:
                sys.exit(f"{module.name}: there is no {old!r} to replace")
            text = text.replace(old, new)
        module.write_text(text, "utf-8")
    (tests / "who1.py").write_text(WHO1)


def main(options):
    """Return the exit status of pytest."""
    if importlib.util.find_spec("repoze.what.release"):
        sys.exit("test_release.py is named as an exception, but there is a repoze.what.release")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tests = directory / "tests"
        tests.mkdir()
        extract(fetch(directory), tests)
        convert(tests)
        (tests / "test_release.py").unlink()
        (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = ignore\n")
        return pytest.main(["-rx", f"--rootdir={name}", *options, name], [Exceptions()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
