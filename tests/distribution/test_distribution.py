"""The distribution as its users get it: built, and installed into environments of its own.

What can be fetched is fetched once, so that an environment is a matter of a second or two.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from configparser import ConfigParser
from email import message_from_bytes
from functools import cache
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.version import Version

for name in ("build.__main__", "mypy", "setuptools", "twine"):
    pytest.importorskip(name, reason=f"needs {name.split('.')[0]}; tox -e package has it")

TREE = Path(__file__).parents[2]
# Hidden files among them; what an earlier build left behind would go into the next one.
NOT_OF_THE_TREE = (".*", "__pycache__", "*.egg-info", "build", "dist")
PLUGIN = "repoze.what.plugins.redis"
PIP = (sys.executable, "-m", "pip")
# Port 1 refuses connections.
NO_SERVER = "redis://127.0.0.1:1"
EXTRAS = ("", "cli", "sql", "cli,sql", "near-cache", "paste", "demo")
# The plugin for Python 2, which is on the package index under the same name.
OF_2009 = "1.0rc1"

IMPORT = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"

ASK = f"""
import redis
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter, SourceUnavailable

for adapter in (
    RedisGroupAdapter(redis.Redis(port=1)),
    RedisPermissionAdapter(redis.Redis(port=1), namespace="magazine"),
    RedisGroupAdapter.from_url("{NO_SERVER}"),
):
    try:
        adapter.get_all_sections()
    except SourceUnavailable as error:
        print(type(error).__name__)
"""

NEAR_CACHE = f"""
from repoze.what.plugins.redis import RedisGroupAdapter

adapter = RedisGroupAdapter.from_url("{NO_SERVER}", namespace="magazine", near_cache="true")
assert adapter.near_cache_info().answers == 0
"""

FILTER = f"""
[filter:main]
use = egg:{PLUGIN}
config_file = %(here)s/who.ini
redis.url = {NO_SERVER}
redis.namespace = magazine
"""
WHO = """
[plugin:basic]
use = repoze.who.plugins.basicauth:make_plugin
realm = The magazine
[identifiers]
plugins = basic
[challengers]
plugins = basic
"""
LOAD = """
import sys
from paste.deploy import loadfilter

assert callable(loadfilter(sys.argv[1])(lambda environ, start_response: []))
"""

TYPED = """
import redis

from repoze.what.adapters import SourceError
from repoze.what.plugins.redis import (
    RedisGroupAdapter,
    RedisPermissionAdapter,
    adapters_from_settings,
)
from repoze.what.predicates import has_permission

client = redis.Redis()
groups = RedisGroupAdapter(client, namespace="magazine")
permissions: RedisPermissionAdapter = RedisPermissionAdapter.from_url("redis://localhost")
both = adapters_from_settings({"redis.url": "redis://localhost"})


def rights(user: str) -> set[str]:
    try:
        its_groups = both.groups.find_sections({"repoze.what.userid": user})
        return permissions.find_sections_many(its_groups)
    except SourceError:
        return set()


publishing = has_permission("publish", msg="Only who may publish")
"""


# In order, for each asks for more than the one before.
WITHOUT_EXTRAS = {
    "cli": ("repoze-what-redis", "--help"),
    "cli,sql": ("repoze-what-redis", "--url", NO_SERVER, "export", "sql", "sqlite:///magazine.db"),
    "near-cache": ("python", "-c", NEAR_CACHE),
    "demo": ("python", "-m", f"{PLUGIN}.demo", "--help"),
}


def run(*command, cwd) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        # With it, modules could come from the checkout instead of from what is installed.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def output_of(*command, cwd) -> str:
    """Return what a command prints that has to succeed."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Environment:
    """A virtual environment, with nothing in it but what is installed from *wheels*."""

    def __init__(self, directory: Path, wheels: Path) -> None:
        self.directory = directory
        self.wheels = wheels
        venv.create(directory, symlinks=True)

    def install(self, *arguments) -> None:
        # Without --no-compile, most of the time goes into modules that nothing here imports.
        pip = (*PIP, "--python", self.directory, "install", "--quiet", "--no-compile")
        output_of(*pip, "--no-index", "--find-links", self.wheels, *arguments, cwd=self.directory)

    def run(self, program: str, *arguments) -> subprocess.CompletedProcess[str]:
        return run(self.directory / "bin" / program, *arguments, cwd=self.directory)

    def output_of(self, program: str, *arguments) -> str:
        return output_of(self.directory / "bin" / program, *arguments, cwd=self.directory)

    def refusal(self, program: str, *arguments) -> str:
        """Return the one line that a command prints which has to fail."""
        done = self.run(program, *arguments)
        assert done.returncode > 0
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the project's tree: building leaves files in it."""
    copy = tmp_path_factory.mktemp("tree") / "project"
    return shutil.copytree(TREE, copy, ignore=shutil.ignore_patterns(*NOT_OF_THE_TREE))


@pytest.fixture(scope="module")
def built(tree) -> dict[str, Path]:
    """The source distribution and the wheel, each made of the tree."""
    # Without isolation, for that is a download for each; pip then makes a wheel with it.
    output_of(
        sys.executable, "-m", "build", "--sdist", "--wheel", "--no-isolation", "--quiet", cwd=tree
    )
    (sdist,) = tree.glob("dist/*.tar.gz")
    (wheel,) = tree.glob("dist/*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.fixture(scope="module")
def wheel(built) -> dict[str, bytes]:
    """What the wheel holds, by path."""
    return contents(built["wheel"])


@pytest.fixture(scope="module")
def wheels(built, tmp_path_factory) -> Path:
    """What pip would install of the source distribution with every extra, as wheels.

    Beside them is what stands for the plugin of 2009: pip fails if it takes it.
    """
    wheels = tmp_path_factory.mktemp("wheels")
    sdist = built["sdist"]
    # Without it, pip takes the wheel that it once made of another sdist in the same place.
    digest = sha256(sdist.read_bytes()).hexdigest()
    requirement = f"{PLUGIN}[{','.join(filter(None, EXTRAS))}] @ {sdist.as_uri()}#sha256={digest}"
    output_of(*PIP, "wheel", "--quiet", "--wheel-dir", wheels, requirement, cwd=wheels)
    (wheels / f"{PLUGIN}-{OF_2009}.tar.gz").touch()
    return wheels


@pytest.fixture(scope="module")
def new_environment(wheels, tmp_path_factory):
    """Return an environment with the distribution and *extras*, a new one each time."""

    def new_environment(extras: str = "") -> Environment:
        environment = Environment(tmp_path_factory.mktemp("environment"), wheels)
        environment.install(f"{PLUGIN}[{extras}]")
        return environment

    return new_environment


@pytest.fixture(scope="module")
def install(new_environment):
    """Return the environment with the distribution and *extras*, which nothing is to change."""
    return cache(new_environment)


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata_file(wheel: dict[str, bytes], name: str) -> bytes:
    (path,) = (path for path in wheel if path.endswith(f".dist-info/{name}"))
    return wheel[path]


def needs(module: str) -> set[str]:
    """Return the extras that *module* cannot be imported without."""
    if module == f"{PLUGIN}.command.sql_tables":
        return {"cli", "sql"}
    if module.startswith(f"{PLUGIN}.command."):
        return {"cli"}
    if module == f"{PLUGIN}.near_cache.memory":
        return {"near-cache"}
    return {"demo"} if module.startswith(f"{PLUGIN}.demo.") else set()


def test_twine_accepts_both(built, tree):
    output_of(sys.executable, "-m", "twine", "check", "--strict", *built.values(), cwd=tree)


def test_wheel_holds_the_package_and_nothing_else(wheel, tree):
    installed = {name for name in wheel if ".dist-info/" not in name}
    files = (path for path in tree.glob("repoze/**/*") if path.is_file())
    assert installed == {path.relative_to(tree).as_posix() for path in files}
    assert {"repoze/what/py.typed", "repoze/what/plugins/redis/py.typed"} <= installed
    assert {".lua", ".html", ".css"} <= {Path(name).suffix for name in installed}
    # Other distributions have these folders too: with it, theirs would not be found.
    assert not installed & {
        f"{folder}/__init__.py" for folder in ("repoze", "repoze/what", "repoze/what/plugins")
    }


def test_pip_makes_the_same_wheel_of_the_sdist(wheel, wheels):
    (of_sdist,) = wheels.glob("repoze_what_plugins_redis-*.whl")
    assert contents(of_sdist) == wheel


def test_sdist_holds_no_leftovers(built):
    with tarfile.open(built["sdist"]) as archive:
        names = archive.getnames()
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_entry_points(wheel):
    entry_points = ConfigParser()
    entry_points.read_string(metadata_file(wheel, "entry_points.txt").decode())
    assert {group: dict(entry_points[group]) for group in entry_points.sections()} == {
        "console_scripts": {"repoze-what-redis": f"{PLUGIN}.command:main"},
        "paste.filter_app_factory": {"main": f"{PLUGIN}.paste:make_filter_app"},
    }


def test_metadata(wheel):
    metadata = message_from_bytes(metadata_file(wheel, "METADATA"))
    assert metadata["Name"] == PLUGIN
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(",".join(EXTRAS).split(",")) - {""} <= set(metadata.get_all("Provides-Extra"))
    assert metadata["Description-Content-Type"] == "text/x-rst"
    description = metadata.get_payload(decode=True).decode()
    for name in ("README.rst", "CHANGES.txt"):
        assert (TREE / name).read_text().strip() in description


def test_version(wheel):
    version = Version(message_from_bytes(metadata_file(wheel, "METADATA"))["Version"])
    # Else pip would take that for an upgrade.
    assert version > Version(OF_2009)
    latest = re.search(r"^\d.*", (TREE / "CHANGES.txt").read_text(), re.MULTILINE)[0]
    if version.is_prerelease:
        assert latest == f"{version.base_version} (unreleased)"
    else:
        assert re.fullmatch(rf"{re.escape(str(version))} \(\d{{4}}-\d\d-\d\d\)", latest)


def test_licence(wheel):
    metadata = message_from_bytes(metadata_file(wheel, "METADATA"))
    assert metadata.get_all("License-File") == ["LICENSE.txt"]
    assert metadata_file(wheel, "licenses/LICENSE.txt") == (TREE / "LICENSE.txt").read_bytes()
    assert metadata["License-Expression"] == "BSD-3-Clause"


@pytest.mark.parametrize("extras", EXTRAS)
def test_installed_modules_can_be_imported(install, wheel, extras):
    environment = install(extras)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in wheel
        # These are commands.
        if name.endswith(".py") and not name.endswith("__main__.py")
    ]
    environment.output_of(
        "python", "-c", IMPORT, *(name for name in modules if needs(name) <= {*extras.split(",")})
    )


def test_adapters_need_no_extra(install):
    assert install().output_of("python", "-c", ASK).split() == ["SourceUnavailable"] * 3


def test_what_is_missing_is_what_the_message_says(new_environment):
    environment = new_environment()
    for extras, command in WITHOUT_EXTRAS.items():
        line = environment.run(*command).stderr.splitlines()[-1]
        requirement = re.search("pip install '(.+)'", line)[1]
        assert requirement == f"{PLUGIN}[{extras}]"
        environment.install("--upgrade", requirement)
        assert "pip install" not in environment.run(*command).stderr


@pytest.mark.parametrize("extras", ["", "sql"])
@pytest.mark.parametrize("command", [["repoze-what-redis"], ["python", "-m", f"{PLUGIN}.command"]])
def test_command_line_without_its_extra(install, extras, command):
    line = install(extras).refusal(*command, "--url", NO_SERVER, "groups", "list")
    assert f"pip install '{PLUGIN}[cli]'" in line


def test_command_line(install, wheel):
    metadata = message_from_bytes(metadata_file(wheel, "METADATA"))
    environment = install("cli")
    assert metadata["Version"] in environment.output_of("repoze-what-redis", "--version")
    assert "Commands:" in environment.output_of("repoze-what-redis", "--help")
    line = environment.refusal("repoze-what-redis", "--url", NO_SERVER, "groups", "list")
    assert "cannot be reached" in line


def test_near_cache(install):
    install("near-cache").output_of("python", "-c", NEAR_CACHE)


def test_import_from_a_database(install):
    line = install("cli,sql").refusal(
        "repoze-what-redis", "--url", NO_SERVER, "import", "sql", "sqlite:///magazine.db"
    )
    assert "pip install" not in line


def test_paste_deploy_finds_the_filter(install, tmp_path):
    (tmp_path / "who.ini").write_text(WHO)
    (tmp_path / "filter.ini").write_text(FILTER)
    install("paste").output_of("python", "-c", LOAD, f"config:{tmp_path}/filter.ini")


def test_demo(install):
    printed = install("demo").output_of("python", "-m", f"{PLUGIN}.demo", "--once")
    assert "Who may open what" in printed


def test_types_are_those_of_the_installed_package(install, tmp_path):
    (tmp_path / "application.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(TYPED + "groups.create_section(None)\n")
    python = install().directory / "bin" / "python"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    done = run(*mypy, "application.py", "wrong.py", cwd=tmp_path)
    assert re.match(r"wrong\.py:.*\[arg-type\]", done.stdout)
    assert "Found 1 error in 1 file (checked 2 source files)" in done.stdout
