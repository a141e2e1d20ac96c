"""The examples of the command line that the manual has, run as they stand there."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

import pytest
from harness.interruptions import press_ctrl_c
from sqlalchemy import create_engine, text

from repoze.what.plugins.redis.command.program import program

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "command-line.rst"
BLOCK = re.compile(r"^\.\. code-block:: console\n\n((?:    .*\n|\n)+)", re.MULTILINE)
TOKEN = re.compile(r"\b[0-9a-f]{12}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
QUICKSTART = """
CREATE TABLE tg_user (user_id INTEGER PRIMARY KEY, user_name VARCHAR(16) UNIQUE);
CREATE TABLE tg_group (group_id INTEGER PRIMARY KEY, group_name VARCHAR(16) UNIQUE);
CREATE TABLE tg_permission (permission_id INTEGER PRIMARY KEY, permission_name VARCHAR(63));
CREATE TABLE tg_user_group (user_id INTEGER, group_id INTEGER);
CREATE TABLE tg_group_permission (group_id INTEGER, permission_id INTEGER);
INSERT INTO tg_user VALUES (1, 'alice'), (2, 'bob');
INSERT INTO tg_group VALUES (1, 'managers');
INSERT INTO tg_permission VALUES (1, 'manage');
INSERT INTO tg_user_group VALUES (1, 1), (2, 1);
INSERT INTO tg_group_permission VALUES (1, 1);
"""


class Keyboard(io.BytesIO):
    """Somebody at a terminal who types something."""

    def isatty(self):
        return True


class Shell:
    """What runs the commands of the page, and shows what a terminal would."""

    def __init__(self, server, query, run, environment):
        self._server = server
        self._query = query
        self._run_program = run
        self._environment = environment
        self._status = 0
        self._watching = None
        self._piped = ""
        # The changes that the page shows, and those that there are.
        self._changes = {}

    def run(self, command, shown):
        """Return what *command* prints; *shown* is what it should, with what somebody types."""
        command = TOKEN.sub(lambda shown: self._changes[shown[0]], command)
        *before, command = command.split(" | ")
        self._piped = "".join(self.run(each, "") for each in before)
        name, *words = shlex.split(command)
        return getattr(self, f"_{name.replace('-', '_')}")(words, shown)

    @property
    def is_watching(self):
        return self._watching is not None

    def watch(self):
        """Start to watch, and return what is printed first."""
        self._watching = subprocess.Popen(
            [sys.executable, "-m", "repoze.what.plugins.redis.command", "watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._too_late = threading.Timer(60, self._watching.kill)
        self._too_late.start()
        return self._watching.stderr.readline()

    def watched(self):
        """Return the next change that is printed."""
        return self._watching.stdout.readline()

    def stop_watching(self):
        """Press Ctrl-C, and return the exit status."""
        process, self._watching = self._watching, None
        press_ctrl_c(process.pid)
        process.communicate()
        self._too_late.cancel()
        return process.returncode

    def _address(self, text):
        return text.replace("localhost:6379", f"127.0.0.1:{self._server.port}")

    def _export(self, words, _):
        name, _, value = words[0].partition("=")
        query = "" if "?" in value else self._query
        self._environment.setenv(name, self._address(value) + query)
        return ""

    def _repoze_what_redis(self, words, shown):
        typed = Keyboard("".join(re.findall(r"\[y/N\]: (.*\n)", shown)).encode())
        if self._piped:
            typed = io.BytesIO(self._piped.encode())
        result = self._run_program(*map(self._address, words), stdin=typed)
        self._status = result.exit_code
        there = TOKEN.findall(result.output)
        self._changes |= dict(zip(TOKEN.findall(shown), there, strict=False))
        output = result.output
        for shown_token, token in self._changes.items():
            output = output.replace(token, shown_token)
        return output.replace(f"127.0.0.1:{self._server.port}", "localhost:6379")

    def _echo(self, words, _):
        assert words == ["$?"]
        return f"{self._status}\n"

    def _cat(self, words, _):
        return Path(words[0]).read_text()

    def _git(self, words, _):
        identity = ("-c", "user.name=Rosa", "-c", "user.email=rosa@example.com")
        command = ["git", *identity, *words]
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        return result.stdout

    def _redis_cli(self, words, _):
        reply = self._server.client().execute_command(*words)
        if isinstance(reply, int) and not isinstance(reply, bool):
            return f"(integer) {reply}\n"
        assert reply in {True, b"OK"}
        return "OK\n"


def examples(page):
    """Return the commands of each block, each with what is printed."""
    for block in BLOCK.findall(page.read_text()):
        lines = [line[4:] for line in block.rstrip().split("\n")]
        found = []
        for line in lines:
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(f"{line}\n")
        yield [(command, "".join(shown)) for command, shown in found]


@pytest.fixture
def quickstart(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/data.db")
    with engine.begin() as connection:
        for statement in QUICKSTART.strip().split("\n"):
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def mistaken(tmp_path):
    (tmp_path / "mistaken.json").write_text(
        '{"groups": {"editors": ["rosa"],\n            "writers": "rosa"}}\n'
    )


@pytest.fixture
def announcing_nothing(server):
    yield
    server.client().config_set("notify-keyspace-events", "")


@pytest.fixture
def shell(server, query, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = Shell(server, query, run, monkeypatch)
    yield shell
    if shell.is_watching:
        shell.stop_watching()


@pytest.mark.usefixtures("quickstart", "mistaken", "announcing_nothing")
def test_page(shell):
    blocks = list(examples(PAGE))
    assert sum(map(len, blocks)) > 50
    watched = ""
    for block in blocks:
        for command, shown in block:
            if command == "repoze-what-redis watch" and "Watching" in shown:
                watched = shown.removeprefix(shell.watch())
                break
            printed = shell.run(command, shown)
            told = (TIME.sub("", text) for text in (shown, printed))
            assert OutputChecker().check_output(*told, ELLIPSIS), (
                f"$ {command}\n{shown}--- is\n{printed}"
            )
            if shell.is_watching:
                # People do not type so fast that one change undoes another before it is seen.
                first, _, watched = watched.partition("\n")
                told, shown_first = (
                    TOKEN.sub("", TIME.sub("", line)) for line in (shell.watched(), f"{first}\n")
                )
                assert told == shown_first
                if not watched:
                    assert shell.stop_watching() == 0
    assert not shell.is_watching
    assert os.environ["REPOZE_WHAT_REDIS_URL"].endswith("namespace=newspaper&db=0")


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git on this machine")
def test_groups_that_are_kept_in_git(shell, tmp_path):
    blocks = list(examples(DOCS / "administration.rst"))
    # It shows a file that somebody has written, in a folder that git keeps.
    [shown] = (shown for command, shown in blocks[0] if command == "cat rights.json")
    (tmp_path / "rights.json").write_text(shown)
    shell.run("git init --quiet", "")
    commands = [each for block in blocks for each in block]
    assert len(commands) > 10
    for command, shown in commands:
        printed = shell.run(command, shown)
        assert OutputChecker().check_output(shown, printed, ELLIPSIS), (
            f"$ {command}\n{shown}--- is\n{printed}"
        )


def test_every_command_is_on_the_page():
    page = PAGE.read_text()

    def commands(group, before):
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if hasattr(command, "commands"):
                yield from commands(command, [*before, name])
            else:
                yield " ".join([*before, name])

    for command in commands(program, []):
        assert command in page or f"``{command.rpartition(' ')[2]}`" in page, command
