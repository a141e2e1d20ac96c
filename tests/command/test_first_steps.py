"""What the first wrong steps lead to: one line that says what to do."""

import fcntl
import io
import os
import resource
import subprocess
import sys

import click
import pytest
import redis
from harness import servers

from repoze.what.plugins.redis import command
from repoze.what.plugins.redis.command.program import program

PASSWORD = "open-sesame"
LIST = ("groups", "list")


def test_no_url(refused, monkeypatch):
    monkeypatch.delenv("REPOZE_WHAT_REDIS_URL", raising=False)
    assert refused(*LIST) == (
        "Error: --url is missing. Give one such as redis://localhost:6379, or set "
        "REPOZE_WHAT_REDIS_URL in the environment.\n"
    )


def test_no_server(refused):
    assert "127.0.0.1:1, database 1 cannot be reached" in refused(
        "--url", "redis://127.0.0.1:1", *LIST
    )
    line = refused("--url", "redis://127.0.0.1:1", *LIST)
    assert line.endswith("Is it running, and is the address right?\n")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_error_is_neither_yes_nor_no(refused, options):
    refused("--url", "redis://127.0.0.1:1", "can", "rosa", "write", *options)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        f"http://:{PASSWORD}@localhost",
        f"redis://:{PASSWORD}@localhost:port",
        f"redis://:{PASSWORD}@host/1/2",
        f"redis://:{PASSWORD}@localhost?nonsense=1",
        f"redis://:{PASSWORD}#1@localhost",
        f"redis://:{PASSWORD}@localhost?read_from",
        f"redis://:{PASSWORD}@localhost?db=one",
    ],
)
def test_wrong_url(refused, monkeypatch, url):
    assert PASSWORD not in refused("--url", url, *LIST)
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", url)
    assert PASSWORD not in refused(*LIST)


def test_url_of_the_environment_is_named(refused, monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "localhost")
    assert refused(*LIST).startswith("Error: REPOZE_WHAT_REDIS_URL has to begin with redis://")


def test_wrong_password(refused, executable):
    server = servers.RedisServer(executable, "--requirepass", PASSWORD)
    url = f"redis://:wrong-{PASSWORD}@127.0.0.1:{server.port}"
    line = refused("--url", url, *LIST)
    assert "Check the user name and the password of the client." in line
    assert PASSWORD not in line
    line = refused("--url", f"redis://127.0.0.1:{server.port}", *LIST)
    assert "it wants a password, and the client has none. Check the user name and the pass" in line
    server.stop()


def test_tls_with_a_server_that_has_none(refused, server):
    # Of the handshake.
    line = refused("--url", f"rediss://127.0.0.1:{server.port}?socket_timeout=0.1", *LIST)
    assert line.endswith("Does it speak TLS at that address?\n")


def test_namespace_with_a_space(refused):
    assert refused("--url", "redis://localhost", "--namespace", "my app", *LIST) == (
        "Error: namespace is letters, digits and _ . : -.\n"
    )


def test_one_database_for_both(refused):
    line = refused("--url", "redis://localhost", "--db", "3", *LIST)
    assert "both be in Redis at localhost:6379, database 3" in line
    assert "set --groups-db and --permissions-db, or --namespace" in line


def test_negative_database(refused):
    assert "db is the number of a database, from 0" in refused(
        "--url", "redis://localhost", "--groups-db", "-1", *LIST
    )


def test_no_such_database(refused, server):
    line = refused("--url", f"redis://127.0.0.1:{server.port}", "--groups-db", "99", *LIST)
    assert "DB index is out of range. Choose another db" in line


@pytest.fixture
def run_without(monkeypatch, capsys):
    """Return what runs the program where a module is missing, and returns its standard error."""

    def run(missing):
        for name in list(sys.modules):
            if name.startswith(f"{command.__name__}."):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == 2
        stdout, stderr = capsys.readouterr()
        assert stdout == ""
        return stderr

    return run


def test_without_the_extra(run_without):
    assert run_without("click") == (
        "Error: click is not installed. Run: pip install 'repoze.what.plugins.redis[cli]'\n"
    )


def test_something_else_is_missing(run_without):
    """No error of any kind ends with 1, which is an answer."""
    assert "ModuleNotFoundError: import of sqlite3 halted" in run_without("sqlite3")


def test_without_sqlalchemy(refused, monkeypatch):
    monkeypatch.delitem(sys.modules, f"{command.__name__}.sql_tables", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert refused("--url", "redis://localhost", "import", "sql", "sqlite://") == (
        "Error: sqlalchemy is not installed. "
        "Run: pip install 'repoze.what.plugins.redis[cli,sql]'\n"
    )


def test_names_cannot_command_a_terminal(run, groups, permissions):
    name = "\x1b[31mred\u202e\x9b\n"
    groups.create_section(name)
    groups.include_items(name, [name])
    permissions.create_section(name)
    permissions.include_items(name, [name])
    safe = r"\x1b[31mred\u202e\x9b\n"
    for arguments in (
        ("groups", "list"),
        ("groups", "list", "--json"),
        ("groups", "show", name),
        ("groups", "show", name, "--json"),
        ("groups", "show", f"no {name}"),
        ("groups", "create", name),
        ("groups", "add", name, name),
        ("groups", "rename", name, "x", "--leave-permissions"),
        ("groups", "rename", "x", name),
        ("groups", "create", name, "--inherit"),
        ("groups", "rename", name, "y"),
        ("groups", "rename", "y", name),
        ("groups", "rename", name, name),
        ("groups", "delete", name),
        ("permissions", "list"),
        ("permissions", "show", name),
        ("permissions", "delete", name),
        ("permissions", "grant", name, f"no {name}"),
        ("who", name),
        ("who", name, "--json"),
        ("can", name, name),
        ("can", name, name, "--json"),
        ("export", "json"),
        ("--namespace", name, "groups", "list"),
        ("--url", name, "groups", "list"),
        ("--url", f"redis://localhost?{name}=1", "groups", "list"),
    ):
        output = run(*arguments).output
        assert not {"\x1b", "\u202e", "\x9b"}.intersection(output), arguments
    assert run("groups", "list").stdout == f"{safe}\nx\n"


def test_output_that_the_terminal_cannot_encode(server):
    client = server.client(db=1)
    client.sadd("Michał", "x")
    result = run_process(server, "groups", "list", PYTHONIOENCODING="latin-1")
    assert (result.returncode, result.stdout, result.stderr) == (0, "Micha\\u0142\n", "")


@pytest.mark.each_value
@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ("groups create interns >&- 2>&-", 0, ""),
        ("groups list >&-", 2, "Error: standard output: it is closed\n"),
        ("groups list >&- 2>&-", 2, ""),
        ("export json ''", 2, "Error: '': Is a directory\n"),
        ("import json ''", 2, "Error: '': No such file or directory\n"),
        ("import json /proc/self/mem", 2, "Error: /proc/self/mem: Invalid argument\n"),
        ("export json >&-", 2, "Error: standard output: it is closed\n"),
        ("export json /dev/stdout >&-", 2, "Error: /dev/stdout: No such device or address\n"),
        ("export xml --groups /dev/fd/1 >&-", 2, "Error: /dev/fd/1: No such device or address\n"),
        ("export json /dev/stderr 2>&-", 2, ""),
        ("import json /dev/stdin <&-", 2, "Error: /dev/stdin: No such device or address\n"),
        ("import ini --groups /dev/fd/0 <&-", 2, "Error: /dev/fd/0: No such device or address\n"),
        ("groups list >/dev/full", 2, "Error: standard output: No space left on device\n"),
        ("can rosa write >/dev/full", 2, "Error: standard output: No space left on device\n"),
        ("export json >/dev/full", 2, "Error: standard output: No space left on device\n"),
        ("groups show ghosts 2>/dev/full", 2, ""),
        ("can rosa nosuch 2>/dev/full", 3, ""),
        ("groups list >/dev/full 2>/dev/full", 2, ""),
        (
            "import json - <&-",
            2,
            "Error: standard input: it is closed\n",
        ),
        (
            "groups delete editors <&-",
            2,
            "The group 'editors' goes, with 1 member: 'rosa'\n"
            "Permissions that are revoked first: 'write'\n"
            "Error: Nothing was done: there is nobody to ask. Say --yes if you want it.\n",
        ),
        (
            "repair <&-",
            2,
            "groups: Section 'editors' has items and the mark of an empty section. It is read as "
            "if it had not; repair() removes the mark.\n"
            "Error: Nothing was done: there is nobody to ask. Say --yes if you want it.\n",
        ),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_streams_that_cannot_be_used(server, arguments, status, error, unbuffered):
    """No failure has the exit status of an answer, and a traceback is none."""
    server.client(db=1).sadd("editors", "rosa", "")
    server.client(db=2).sadd("write", "editors")
    command = f"'{sys.executable}' -m repoze.what.plugins.redis.command {arguments}"
    result = subprocess.run(
        ["/bin/sh", "-c", command],
        env={
            **os.environ,
            "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
            "PYTHONUNBUFFERED": unbuffered,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (status, error)


LONG_OUTPUTS = [
    ("groups", "show", "editors"),
    ("groups", "show", "editors", "--json"),
    ("users", "list", "--json"),
    ("export", "json"),
    ("groups", "x" * 9000),
]


@pytest.mark.each_value
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", LONG_OUTPUTS)
def test_stream_that_takes_a_part(server, tmp_path, arguments, unbuffered):
    """What is written of the output then is no output."""
    server.client(db=1).sadd("editors", *(f"member-{number}" for number in range(800)))
    file = tmp_path / "output"
    is_error = len(arguments[-1]) > 1000

    def run(stream, limit=None):
        return subprocess.run(
            [sys.executable, "-m", "repoze.what.plugins.redis.command", *arguments],
            env={
                **os.environ,
                "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
                "PYTHONUNBUFFERED": unbuffered,
                # It would write a file of its own, to which the limit applies.
                "COVERAGE_PROCESS_CONFIG": "",
            },
            preexec_fn=limit,
            text=True,
            check=False,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            | {"stderr" if is_error else "stdout": stream},
        )

    with file.open("w") as stream:
        result = run(stream, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)))
    assert (result.returncode, file.stat().st_size) == (2, 2000)
    if not is_error:
        assert result.stderr == "Error: standard output: File too large\n"
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    assert run(writer).returncode == 2
    os.close(writer)
    os.close(reader)


def test_streams_that_are_not_buffered_say_each_line_at_once(server):
    with subprocess.Popen(
        [sys.executable, "-m", "repoze.what.plugins.redis.command", "watch", "--every", "60"],
        env={
            **os.environ,
            "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
            "PYTHONUNBUFFERED": "1",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline() == "Watching. Ctrl-C ends it.\n"
        process.terminate()


@pytest.mark.parametrize(
    "arguments", [("can", "rosa", "write"), ("check",), LIST, ("export", "json")]
)
def test_nobody_reads_the_answer(server, arguments):
    """That is no answer, so it is neither 0 nor 1."""
    server.client(db=1).sadd("editors", "rosa", "")
    server.client(db=2).sadd("write", "editors")
    with subprocess.Popen(
        [sys.executable, "-m", "repoze.what.plugins.redis.command", *arguments],
        env={
            **os.environ,
            "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
            # Empty, it is not set: what is printed is kept back until there is more of it.
            "PYTHONUNBUFFERED": "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 2


def ended_with(status, monkeypatch, stream, error):
    def end():
        stream.error = error
        sys.exit(status)

    monkeypatch.setattr(f"{command.__name__}.program.run", end)
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


class Stream(io.TextIOWrapper):
    """One that fails when it is flushed."""

    error = None

    def flush(self):
        error, self.error = self.error, None
        if error:
            raise error
        super().flush()


@pytest.mark.parametrize(
    ("name", "error", "statuses"),
    [
        ("stdout", BrokenPipeError, {None: 2, 0: 2, 1: 2, 2: 2, 3: 2, 130: 130}),
        ("stdout", KeyboardInterrupt, {None: 130, 0: 130, 1: 130, 2: 130, 130: 130}),
        ("stderr", BrokenPipeError, {None: None, 0: 0, 1: 1, 2: 2, 130: 130}),
    ],
)
def test_output_that_is_lost_at_the_end(monkeypatch, tmp_path, name, error, statuses):
    """Whatever a command has ended with, what nobody can read was no answer."""
    for status, expected in statuses.items():
        with (tmp_path / "output").open("wb") as file, monkeypatch.context() as patch:
            stream = Stream(file)
            for each in ("stdout", "stderr"):
                patch.setattr(sys, each, stream if each == name else getattr(sys, each))
            assert ended_with(status, patch, stream, error) == expected


def run_process(server, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "repoze.what.plugins.redis.command", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}",
            **environment,
        },
    )


def test_process(server):
    server.client(db=1).sadd("editors", "")
    result = run_process(server, "groups", "list")
    assert (result.returncode, result.stdout, result.stderr) == (0, "editors\n", "")
    assert run_process(server, "permissions", "create", "write").returncode == 0
    assert run_process(server, "can", "rosa", "write").returncode == 1
    result = run_process(server, "groups", "list", "--nonsense")
    assert (result.returncode, result.stdout) == (2, "")
    assert "No such option" in result.stderr


def test_read_from_is_left_out(done, groups, address, query, staff):
    """A replica may not know what has just been written; nobody is at this one's address."""
    query = f"{query}&" if query else "?"
    url = f"{address}{query}read_from=redis://127.0.0.1:1"
    assert done("--url", url, "groups", "list") == "editors\ninterns\nwriters\n"
    assert done("--url", url + "&socket_timeout=7", "groups", "list").count("\n") == 3


def test_near_cache_is_left_out(done, address, staff, query, monkeypatch):
    """It is for applications, and what it needs may not be installed here."""
    monkeypatch.setitem(sys.modules, "lru", None)
    query = f"{query}&" if query else "?"
    url = f"{address}{query}near_cache=true&max_staleness=2&max_age=30"
    assert done("--url", url, "who", "ben").startswith("groups:\n  editors\n")


def test_answers_are_read_as_bytes(done, address, query, groups):
    groups.create_section(b"\xff")
    query = f"{query}&" if query else "?"
    url = f"{address}{query}decode_responses=true"
    assert done("--url", url, "groups", "list") == "\\udcff\n"


def test_url_before_environment(done, server, monkeypatch):
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", "redis://127.0.0.1:1")
    server.client(db=1).sadd("editors", "rosa")
    assert done("--url", f"redis://127.0.0.1:{server.port}", "groups", "list") == "editors\n"


def commands(group, before=()):
    """Return the words of each command that does something."""
    for name in group.list_commands(None):
        found = group.get_command(None, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*before, name))
        else:
            yield *before, name


@pytest.fixture
def all_commands():
    return list(commands(program))


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(done, all_commands, option):
    assert "groups" in done(option)
    for words in all_commands:
        shown = done(*words, option)
        assert f"Usage: program {' '.join(words)} [OPTIONS]" in shown
        # They are told once.
        assert "--url" not in shown


def test_options_after_the_command(done, server):
    """As before it; what is said last counts."""
    url = ("--url", f"redis://127.0.0.1:{server.port}")
    databases = ("--groups-db", "4", "--permissions-db", "5")
    done("groups", "create", *url, *databases, "plain")
    done("permissions", "create", *url, *databases, "read")
    done(*url, "groups", *databases, "create", "other")
    indexed = ("--db=4", "--namespace=n")
    done("--url", "redis://127.0.0.1:1", "groups", "create", "indexed", *url, *indexed)
    client = server.client(db=4)
    assert client.smembers("plain") == client.smembers("other") == {b""}
    assert client.smembers("{n}:groups:sections") == {b"indexed"}
    # Those of copy are of the target.
    target = f"redis://127.0.0.1:{server.port}/6"
    done(*indexed, "copy", target, "--namespace", "m", *url)
    assert server.client(db=6).smembers("{m}:groups:sections") == {b"indexed"}


def test_every_command_takes_the_url(run, all_commands):
    for words in all_commands:
        # Arguments are wanted, or a URL that is one.
        result = run(*words, "--url", f"nonsense-{PASSWORD}")
        assert result.exit_code == 2
        assert "No such option" not in result.stderr
        assert PASSWORD not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        (f"redis://:{PASSWORD}@localhost", *LIST),
        ("--db", f"redis://:{PASSWORD}@localhost", *LIST),
        (*LIST, f"redis://:{PASSWORD}@localhost"),
        (*LIST, f"redis ://:{PASSWORD}@localhost"),
        ("copy", "redis://localhost", f"redis://:{PASSWORD}@localhost"),
        ("import", "sql", "sqlite://", f"postgresql://rosa:{PASSWORD}@localhost/x"),
        ("groups", f"--redis://:{PASSWORD}@localhost"),
        ("watch", "--every", f"redis://:{PASSWORD}@localhost"),
        (f"redis:/:{PASSWORD}@localhost", *LIST),
        ("--url", "redis://127.0.0.1:1", "import", "json", f"redis://:{PASSWORD}@localhost"),
        ("--url", "redis://127.0.0.1:1", "import", "ini", "--groups", f"redis:/:{PASSWORD}@h"),
    ],
)
def test_url_in_the_wrong_place(run, words):
    """What is not understood is shown, but for what comes after :// or, if one is missing, :/."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert ":/..." in result.stderr
    assert PASSWORD not in result.stderr


def test_part_of_a_url_in_the_wrong_place(run):
    result = run(*LIST, f":{PASSWORD}@localhost")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(" (:...\n")


def test_what_is_loaded(server):
    """It takes as long as what a command does, so a command loads what is its own."""
    server.client(db=1).sadd("editors", "rosa")
    # It tells what modules import, and not what is imported by name.
    loaded = run_process(server, "groups", "list", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "repoze.what.plugins.redis.command.asking\n" in loaded
    for module in ("repoze.what.plugins.redis.command.importing", "webob", "repoze.who.config"):
        assert f" {module}\n" not in loaded


def test_no_arguments(run):
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Without it, what" in result.stderr


def test_where_the_sources_lie(done, server):
    url = f"redis://127.0.0.1:{server.port}"
    done("--url", url, "--groups-db", "4", "--permissions-db", "5", "groups", "create", "plain")
    done("--url", url, "--db", "4", "--namespace", "n", "groups", "create", "indexed")
    client = redis.Redis.from_url(url, db=4)
    assert client.smembers("plain") == {b""}
    assert client.smembers("{n}:groups:sections") == {b"indexed"}
