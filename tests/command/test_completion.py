"""Names that a shell completes: by the real shells, for somebody else may have chosen them."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import click.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter
from repoze.what.plugins.redis.command.completion import is_literal
from repoze.what.plugins.redis.command.failures import Failure
from repoze.what.plugins.redis.command.program import program

PROMPT = "ready>"
# How each is started, so that it reads the file alone, and what that has before the script.
SHELLS = {
    "bash": (("--noprofile", "--rcfile", "{file}", "-i"), f"PS1='{PROMPT}'\n"),
    "zsh": (("-d", "-i"), f"PROMPT='{PROMPT}'\nautoload -Uz compinit\ncompinit -D -u\n"),
    "fish": (
        ("--no-config", "-i", "-C", "source {file}"),
        f"function fish_prompt; echo -n '{PROMPT}'; end\nset -g fish_autosuggestion_enabled 0\n",
    ),
}
# It completes, or notes the arguments that it was called with.
PROGRAM = f"""\
#!/bin/sh
if [ -n "$_REPOZE_WHAT_REDIS_COMPLETE" ]; then
    exec '{sys.executable}' -m repoze.what.plugins.redis.command
fi
printf '%s\\n' "$@" > arguments
echo noted'>'
"""
# Each begins with another letter, is completed after that, and would do something if it could.
HOSTILE = [
    "a$(touch${IFS}made)",
    "b`touch${IFS}made`",
    "c;touch${IFS}made",
    "d|touch${IFS}made",
    "e&&touch${IFS}made",
    "f>made",
    "g*",
    "h\\x",
    "i'x",
    'j"x',
    "k$HOME",
    "l{1,2}",
    "m[a]",
    "n!!",
    "o#x",
    "p,x",
    "q=x",
    "r~x",
    "s%x",
    "t^x",
    "u(x)",
    "v x",
    "w\nx",
    "x\x1b[31m",
    "y\u2028x",
]


def complete(words, shell="bash"):
    """Return what the program tells a shell."""
    line = f"repoze-what-redis {words}"
    result = click.testing.CliRunner().invoke(
        program,
        prog_name="repoze-what-redis",
        env={
            "_REPOZE_WHAT_REDIS_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": line,
            # Bash calls them words, and zsh their number.
            "COMP_CWORD": {
                "bash": re.findall("[:@]?[^ :@]*$", line)[0].lstrip(":"),
                "zsh": str(line.count(" ")),
                "fish": line.rpartition(" ")[2],
            }[shell],
        },
    )
    assert (result.exit_code, result.stderr) == (0, "")
    return [line for line in result.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("groups show ", ["editors", "interns", "writers"]),
        ("groups show ed", ["editors"]),
        ("groups show 'ed", ["editors"]),
        ("groups delete in", ["interns"]),
        ("groups add editors r", ["rosa", "rosa@example.com"]),
        ("groups add editors ben rosa@ex", ["@example.com"]),
        ("groups add editors rosa@", ["@example.com"]),
        ("groups add editors kim:s", ["smith"]),
        ("groups remove writers ", ["rosa"]),
        ("groups remove ghosts ", []),
        ("groups remove", ["remove"]),
        ("groups re", ["remove", "rename"]),
        ("users delete b", ["ben"]),
        ("users rename r", ["rosa", "rosa@example.com"]),
        ("who r", ["rosa", "rosa@example.com"]),
        ("can b", ["ben"]),
        ("can rosa pu", ["publish"]),
        ("can rosa@example.com pu", ["publish"]),
        ("permissions grant ", ["publish", "sell", "write"]),
        ("permissions grant publish wr", ["writers"]),
        ("permissions grant publish writers ", ["editors", "interns", "writers"]),
        ("--url redis://127.0.0.1:1 groups show ", []),
        ("groups --url redis://127.0.0.1:1 show ", []),
        ("--namespace a/b groups show ", []),
    ],
)
def test_completion(words, completed, staff, groups, request):
    if "127.0.0.1:1 " in words and "fakeredis" in request.node.name:
        pytest.skip("there every server is up")
    groups.include_items("interns", ["rosa@example.com", "kim:smith", "-x", "ro sa"])
    groups.create_section("ed itor")
    assert complete(words) == [f"plain,{name}" for name in completed]


def test_file(nowhere):
    """A shell knows better what there is."""
    assert complete("export json st") == ["file,st"]
    assert complete("export ini --groups=st") == ["file,st"]


@given(st.text(st.characters(min_codepoint=1), min_size=1, max_size=8))
def test_what_is_literal(name):
    """Of ASCII it is no more than what needs no quotes in a POSIX shell."""
    if is_literal(name):
        assert name.isprintable()
        assert name[0] != "-"
        in_ascii = "".join(sign for sign in name if sign.isascii())
        assert shlex.quote(in_ascii) in {in_ascii, "''"}


@pytest.fixture(params=SHELLS)
def shell(request):
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} on this machine")
    return request.param


@pytest.fixture
def folder(shell, tmp_path):
    """A home whose shell has the program, and completes for it."""
    for name, text in {"repoze-what-redis": PROGRAM, ".zshrc": ""}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "repoze-what-redis").chmod(0o755)
    script = subprocess.run(
        [sys.executable, "-m", "repoze.what.plugins.redis.command"],
        env={**os.environ, "_REPOZE_WHAT_REDIS_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / ".zshrc").write_text(SHELLS[shell][1] + script)
    return tmp_path


class Terminal:
    """A shell at a terminal, with somebody who types."""

    def __init__(self, shell, folder, url):
        options = [option.format(file=folder / ".zshrc") for option in SHELLS[shell][0]]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", shell, *options],
            cwd=folder,
            env={
                **{name: os.environ[name] for name in os.environ if "COVERAGE" not in name},
                "HOME": str(folder),
                "ZDOTDIR": str(folder),
                "LC_ALL": "C.UTF-8",
                "TERM": "xterm",
                "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
                "REPOZE_WHAT_REDIS_URL": url,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._shown = ""

    def wait_for(self, text):
        """Read what is shown up to *text*."""
        while text not in self._shown:
            block = os.read(self._process.stdout.fileno(), 1024)
            assert block, self._shown
            self._shown += block.decode(errors="replace")
        self._shown = self._shown.partition(text)[2]

    def type(self, text):
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def test_real_shell(shell, folder, server):
    """What is completed reaches the program as it is, and nothing else than the program runs."""
    url = f"redis://127.0.0.1:{server.port}?namespace=tests"
    groups = RedisGroupAdapter.from_url(url)
    permissions = RedisPermissionAdapter.from_url(url)
    permissions.create_section("publish")
    literal = ["zb.Z_0-/:@+", "zcéß漢", "zd@example.com"]
    for name in [*HOSTILE, *literal, "zd@example.org"]:
        groups.create_section(name)
    with Terminal(shell, folder, url) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("repoze-what-redis permissions grant publish a\t zb\t zc\t zd\tc\t\r")
        terminal.wait_for("noted>")
    arguments = (folder / "arguments").read_text().splitlines()
    assert arguments == ["permissions", "grant", "publish", "a", *literal]
    assert not (folder / "made").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("words", ["", " ", "repoze-what-redis", "repoze-what-redis "])
def test_words_that_no_shell_has(nowhere, shell, words):
    """They end with what can be completed, or a line that says so."""
    result = click.testing.CliRunner().invoke(
        program,
        prog_name="repoze-what-redis",
        standalone_mode=False,
        env={
            "_REPOZE_WHAT_REDIS_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": {"bash": "", "zsh": "nonsense", "fish": " "}[shell],
        },
    )
    assert isinstance(result.exception, Failure | SystemExit | None)


def test_hostile_names(groups):
    for name in HOSTILE:
        groups.create_section(name)
    for shell in SHELLS:
        assert complete("groups show ", shell) == []
