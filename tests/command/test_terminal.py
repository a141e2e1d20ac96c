"""What somebody at a terminal sees: progress, questions, and names to complete."""

import json
import os
import subprocess
import sys

import click.testing
import pytest

from repoze.what.plugins.redis.command.program import program


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


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("groups show ", ["editors", "interns", "writers"]),
        ("groups show ed", ["editors"]),
        ("groups delete in", ["interns"]),
        ("permissions grant ", ["publish", "sell", "write"]),
        ("permissions grant publish wr", ["writers"]),
        ("permissions grant publish writers ", ["editors", "interns", "writers"]),
        ("can rosa pu", ["publish"]),
        ("groups re", ["remove", "rename"]),
        ("--url redis://127.0.0.1:1 groups show ", []),
        ("--namespace a/b groups show ", []),
    ],
)
def test_completion(words, completed, staff, groups):
    for name in ("ed itor", "ed\nitor"):
        groups.create_section(name)
    result = click.testing.CliRunner().invoke(
        program,
        prog_name="repoze-what-redis",
        env={
            "_REPOZE_WHAT_REDIS_COMPLETE": "bash_complete",
            "COMP_WORDS": f"repoze-what-redis {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        },
    )
    assert result.exit_code == 0
    assert result.stdout.split() == [f"plain,{name}" for name in completed]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell):
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from repoze.what.plugins.redis.command import main; main()",
        ],
        env={**os.environ, "_REPOZE_WHAT_REDIS_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_repoze_what_redis_completion" in result.stdout
