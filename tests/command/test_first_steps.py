"""What the first wrong steps lead to: one line that says what to do."""

import os
import subprocess
import sys

import pytest
import redis
import servers

from repoze.what.plugins.redis import command

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
        "Error: A namespace is letters, digits and _ . : -, not 'my app'\n"
    )


def test_one_database_for_both(refused):
    line = refused("--url", "redis://localhost", "--db", "3", *LIST)
    assert "both be in database 3" in line
    assert "set --groups-db and --permissions-db, or --namespace" in line


def test_negative_database(refused):
    assert "db is the number of a database, from 0" in refused(
        "--url", "redis://localhost", "--groups-db", "-1", *LIST
    )


def test_no_such_database(refused, server):
    line = refused("--url", f"redis://127.0.0.1:{server.port}", "--groups-db", "99", *LIST)
    assert "DB index is out of range. Choose another db" in line


@pytest.mark.parametrize("missing", ["click", "ijson"])
def test_without_the_extra(missing, monkeypatch, capsys):
    for name in list(sys.modules):
        if name.startswith(f"{command.__name__}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"Error: {missing} is not installed. Run: pip install 'repoze.what.plugins.redis[cli]'\n",
    )


def test_something_else_is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, f"{command.__name__}.program", raising=False)
    monkeypatch.delitem(sys.modules, f"{command.__name__}.watching", raising=False)
    monkeypatch.setitem(sys.modules, "datetime", None)
    with pytest.raises(ModuleNotFoundError, match="datetime"):
        command.main()


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


def test_closed_output(server):
    command = f"'{sys.executable}' -m repoze.what.plugins.redis.command groups list >&- 2>&-"
    environment = {**os.environ, "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}"}
    assert subprocess.run(["/bin/sh", "-c", command], env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments", [("can", "rosa", "write"), ("check",), LIST, ("export", "json")]
)
def test_nobody_reads_the_answer(server, arguments):
    """That is no answer, so it is neither 0 nor 1."""
    server.client(db=1).sadd("editors", "rosa", "")
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
    assert done("--url", f"redis://127.0.0.1:{server.port}", "groups", "list") == ""


def test_where_the_sources_lie(done, server):
    url = f"redis://127.0.0.1:{server.port}"
    done("--url", url, "--groups-db", "4", "--permissions-db", "5", "groups", "create", "plain")
    done("--url", url, "--db", "4", "--namespace", "n", "groups", "create", "indexed")
    client = redis.Redis.from_url(url, db=4)
    assert client.smembers("plain") == {b""}
    assert client.smembers("{n}:groups:sections") == {b"indexed"}
