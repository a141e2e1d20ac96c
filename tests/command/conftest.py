import os
import pty
import sys
import threading
from contextlib import ExitStack

import click.testing
import pytest
from harness import servers
from harness.operations import create_sections

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.command.program import program


@pytest.fixture
def address(server) -> str:
    """The URL of an empty server."""
    return f"redis://{servers.HOST}:{server.port}"


@pytest.fixture(params=["plain", "indexed"])
def query(request) -> str:
    """What the URL has after the address, for each layout in turn."""
    return {"plain": "", "indexed": "?namespace=tests"}[request.param]


@pytest.fixture
def url(address, query, monkeypatch) -> str:
    """The URL of both sources, which is in the environment, too."""
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", address + query)
    return address + query


@pytest.fixture
def nowhere(monkeypatch):
    """Have the sources where nobody is, for what is refused before they are asked."""
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://127.0.0.1:1")


@pytest.fixture
def groups(url) -> RedisGroupAdapter:
    return RedisGroupAdapter.from_url(url)


@pytest.fixture
def permissions(url) -> RedisPermissionAdapter:
    return RedisPermissionAdapter.from_url(url)


@pytest.fixture
def staff(groups, permissions) -> None:
    """Two groups with members, one without, and three permissions."""
    create_sections(groups, {"editors": ["rosa", "ben"], "writers": ["rosa"], "interns": []})
    granted = {"publish": ["editors"], "write": ["editors", "writers"], "sell": []}
    create_sections(permissions, granted)


@pytest.fixture
def run():
    """Return what runs the command line, in this process, and returns click's result of it."""

    def run(*arguments, stdin=None):
        result = click.testing.CliRunner().invoke(program, list(arguments), input=stdin)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        return result

    return run


@pytest.fixture
def done(run):
    """Return what runs a command that has to succeed, and returns its standard output."""

    def done(*arguments, stdin=None):
        result = run(*arguments, stdin=stdin)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    return done


@pytest.fixture
def refused(run):
    """Return what runs a command that is not possible, and returns the one line that says so."""

    def refused(*arguments, stdin=None):
        result = run(*arguments, stdin=stdin)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1
        return result.stderr

    return refused


@pytest.fixture
def run_at_terminal(monkeypatch):
    """Return what runs the command line at a terminal, and returns its status and what it shows."""

    def run(*arguments, typed=""):
        master, slave = pty.openpty()
        shown = []

        def read():
            while True:
                try:
                    shown.append(os.read(master, 1024))
                except OSError:
                    return

        reader = threading.Thread(target=read)
        reader.start()
        os.write(master, typed.encode())
        with ExitStack() as stack, monkeypatch.context() as patch:
            for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
                patch.setattr(sys, name, stack.enter_context(os.fdopen(os.dup(slave), mode)))
            os.close(slave)
            with pytest.raises(SystemExit) as ended:
                program.main(list(arguments), prog_name="repoze-what-redis")
        reader.join()
        os.close(master)
        return ended.value.code, b"".join(shown).decode()

    return run
