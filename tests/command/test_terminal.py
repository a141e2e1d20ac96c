"""What somebody at a terminal sees: progress and questions."""

import json
import os
import signal
import socket
import subprocess
import sys

import click
import pytest

from repoze.what.plugins.redis.command.program import program, run


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_interrupted_out_of_a_command(monkeypatch, error):
    def interrupted(**_):
        raise error

    monkeypatch.setattr(program, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 130
