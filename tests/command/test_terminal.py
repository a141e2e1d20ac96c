"""What somebody at a terminal sees: progress and questions."""

import json
import os
import signal
import socket
import subprocess
import sys

import click
import pytest

from repoze.what.plugins.redis import RedisGroupAdapter
from repoze.what.plugins.redis.command.program import program
from repoze.what.plugins.redis.command.program import run as run_program


def test_progress(run_at_terminal, staff, tmp_path, address, query):
    file = tmp_path / "staff.json"
    status, shown = run_at_terminal("export", "json", str(file))
    assert status == 0
    assert "groups" in shown
    assert "100%" in shown
    document = json.loads(file.read_text())
    document["groups"].update({f"group-{number}": ["kim"] for number in range(150)})
    file.write_text(json.dumps(document))
    status, shown = run_at_terminal("import", "json", str(file))
    assert status == 0
    for label in ("reading", "comparing", "writing"):
        assert label in shown
    assert "groups: 150 new, 0 completed, 3 as before; 150 members added" in shown
    status, shown = run_at_terminal("copy", f"{address}?namespace=target&db=5")
    assert status == 0
    assert "100%" in shown
    assert "groups: 153 copied" in shown


def test_question(run_at_terminal, staff, groups):
    status, shown = run_at_terminal("groups", "delete", "editors", typed="n\n")
    assert (status, "Nothing was done." in shown) == (2, True)
    assert "editors" in groups.get_all_sections()
    status, shown = run_at_terminal("groups", "delete", "editors", typed="y\n")
    assert (status, "Go on? [y/N]" in shown) == (0, True)
    assert "editors" not in groups.get_all_sections()


def test_interrupted_question(run_at_terminal, staff, groups):
    """Ctrl-D ends what is typed."""
    status, shown = run_at_terminal("groups", "delete", "editors", typed="\x04")
    assert (status, "Interrupted." in shown) == (130, True)
    assert "editors" in groups.get_all_sections()


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "not read"])
def test_interrupted_where_nobody_reads_on(is_read):
    """It is no answer: not the no of `can`, and not what `check` ends with."""
    reader, writer = os.pipe()
    if not is_read:
        os.close(reader)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "-m", "repoze.what.plugins.redis.command", "can", "rosa", "publish"],
            env={
                **os.environ,
                "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{silent.getsockname()[1]}",
            },
            stderr=writer,
        )
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        connection.close()
    os.close(writer)
    if is_read:
        with os.fdopen(reader) as said:
            assert said.read() == "Interrupted.\n"


def ended_with(monkeypatch, main):
    monkeypatch.setattr(program, "main", main)
    with pytest.raises(SystemExit) as ended:
        run_program()
    return ended.value.code


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_interrupted_out_of_a_command(monkeypatch, error):
    def interrupted(**_):
        raise error

    assert ended_with(monkeypatch, interrupted) == 130


def test_interrupted_out_of_a_command_where_nobody_reads_on(monkeypatch):
    def interrupted(**_):
        error = BrokenPipeError()
        error.__context__ = KeyboardInterrupt()
        raise error

    assert ended_with(monkeypatch, interrupted) == 130

    def fail(**_):
        raise BrokenPipeError

    assert ended_with(monkeypatch, fail) == 2


@pytest.mark.parametrize("instruction", ["bash", "nonsense", "bash_source"])
def test_what_is_for_a_shell_is_no_answer(instruction):
    result = subprocess.run(
        [sys.executable, "-m", "repoze.what.plugins.redis.command", "can", "rosa", "publish"],
        env={**os.environ, "_REPOZE_WHAT_REDIS_COMPLETE": instruction},
        capture_output=True,
        check=False,
    )
    assert result.returncode == (0 if instruction == "bash_source" else 2)


COMPLETING = {"COMP_WORDS": "repoze-what-redis groups show e", "COMP_CWORD": "e"}
NO_SHELL = "Error: COMP_WORDS and COMP_CWORD are not what a shell sets that completes.\n"


@pytest.mark.each_value
@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("instruction", "variables", "output", "error"),
    [
        ("source", {}, ">&-", "Error: standard output: it is closed\n"),
        ("source", {}, ">/dev/full", "Error: standard output: No space left on device\n"),
        ("complete", COMPLETING, ">&-", "Error: standard output: it is closed\n"),
        ("complete", COMPLETING, ">/dev/full", "Error: standard output: No space left on device\n"),
        ("complete", COMPLETING, ">&- 2>&-", ""),
        ("complete", {}, "", NO_SHELL),
        ("complete", {"COMP_WORDS": "repoze-what-redis"}, "", NO_SHELL),
        ("complete", {"COMP_CWORD": "1"}, "", NO_SHELL),
    ],
)
def test_completion_that_cannot_be_told(shell, instruction, variables, output, error):
    number = {"COMP_CWORD": "3"} if shell == "zsh" and len(variables) > 1 else {}
    result = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m repoze.what.plugins.redis.command {output}"],
        env={
            **os.environ,
            "_REPOZE_WHAT_REDIS_COMPLETE": f"{shell}_{instruction}",
            **variables,
            **number,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (2, "", error)


@pytest.mark.parametrize("command", ["rename", "import"])
def test_interrupted_writing_where_nobody_reads_on(monkeypatch, run, staff, tmp_path, command):
    def interrupted(*_):
        raise KeyboardInterrupt

    def unread(*_, err=False, **__):
        if err:
            raise BrokenPipeError

    file = tmp_path / "staff.json"
    file.write_text('{"groups": {"new": ["kim"]}}')
    monkeypatch.setattr(RedisGroupAdapter, "edit_section", interrupted)
    monkeypatch.setattr(RedisGroupAdapter, "create_section", interrupted)
    monkeypatch.setattr(click, "echo", unread)
    words = {
        "rename": ("groups", "rename", "editors", "redaction"),
        "import": ("import", "json", str(file)),
    }
    assert run(*words[command]).exit_code == 130
