"""Paste Deploy's filter: from configuration files to answers."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import traceback
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from runpy import run_path

import pytest
from harness import servers
from pastedeploy.conftest import EXAMPLES
from webtest import TestApp

from repoze.what.adapters import SourceUnavailable
from repoze.what.plugins.redis import RedisGroupAdapter
from repoze.what.plugins.redis.paste import make_filter_app

ROSA = ("Basic", ("rosa", "headline"))
BEN = ("Basic", ("ben", "notebook"))
WHO = "config_file = %(here)s/who.ini"
# Nothing is sent before the first question.
NOWHERE = f"redis.url = redis://{servers.HOST}:1"


@pytest.mark.parametrize("file", ["magazine.ini", "shared.ini", "behind_who.ini"])
def test_example(url, load, folder, file):
    browser = load(file=file)
    script = run_path(folder / "let_rosa_publish.py")
    groups, permissions = script["groups"], script["permissions"]
    assert browser.get("/").text == "The magazine."
    challenge = browser.get("/publish", status=401)
    assert challenge.headers["WWW-Authenticate"] == 'Basic realm="The magazine"'

    browser.authorization = ("Basic", ("rosa", "wrong"))
    browser.get("/publish", status=401)
    browser.authorization = ROSA
    page = browser.get("/publish")
    assert page.text == "Published."
    # No cache may show it to others.
    assert page.headers["Cache-Control"] == "private"
    browser.authorization = BEN
    browser.get("/publish", status=403)

    groups.include_item("editors", "ben")
    assert browser.get("/publish").text == "Published."
    permissions.exclude_item("publish", "editors")
    browser.get("/publish", status=403)


def test_example_without_authentication(url, load, folder):
    run_path(folder / "let_rosa_publish.py")
    run_path(folder / "test_publishing.py")["test_publishing"]()
    assert "WWW-Authenticate" not in load(file="test.ini").get("/publish", status=401).headers


def test_example_behind_a_proxy(url, load, folder):
    run_path(folder / "let_rosa_publish.py")
    browser = load(file="behind_proxy.ini")
    rosa, ben = {"X-Forwarded-User": "rosa"}, {"X-Forwarded-User": "ben"}
    proxy, other = {"REMOTE_ADDR": "127.0.0.1"}, {"REMOTE_ADDR": "192.0.2.7"}
    assert browser.get("/publish", headers=rosa, extra_environ=proxy).text == "Published."
    browser.get("/publish", headers=ben, extra_environ=proxy, status=403)
    refusal = browser.get("/publish", headers=rosa, extra_environ=other, status=401)
    assert "WWW-Authenticate" not in refusal.headers
    browser.get("/publish", extra_environ=proxy, status=401)


def test_user_of_the_web_server(url, load, fill):
    fill()
    browser = load(f"redis.url = {url}", "remote_user = REMOTE_USER")
    browser.get("/publish", extra_environ={"REMOTE_USER": "rosa"})
    browser.get("/publish", headers={"Remote-User": "rosa"}, status=401)


def commands():
    """The manual's commands, as they are printed."""
    lines = (EXAMPLES.parents[1] / "paste.rst").read_text(encoding="utf-8").splitlines()
    beginnings = ("python -c", "PYTHONPATH=. ", "gunicorn ")
    return [line.strip() for line in lines if line.strip().startswith(beginnings)]


def in_a_shell(command, folder):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )


@pytest.mark.parametrize("command", [line for line in commands() if "magazine.ini" in line])
def test_command_that_serves(url, folder, command):
    program = command.removeprefix("PYTHONPATH=. ").partition(" ")[0]
    if not (shutil.which(program) or Path(sys.executable).with_name(program).exists()):
        pytest.skip(f"no {program} on this machine")
    run_path(folder / "let_rosa_publish.py")
    ini = folder / "magazine.ini"
    port = servers.free_port()
    ini.write_text(ini.read_text(encoding="utf-8").replace("8080", str(port)), encoding="utf-8")

    def answer():
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=10)) as browser:
            rosa = {"Authorization": "Basic cm9zYTpoZWFkbGluZQ=="}
            browser.request("GET", "/publish", headers=rosa)
            return browser.getresponse().read()
        return None

    with in_a_shell(command.replace("8080", str(port)), folder) as process:
        try:
            servers.wait_until(lambda: answer() == b"Published.")
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def test_command_that_adds_a_password(url, load, folder):
    (folder / "passwords").unlink()
    [command] = [line for line in commands() if line.startswith("python -c")]
    with in_a_shell(command, folder) as process:
        assert process.wait() == 0
    run_path(folder / "let_rosa_publish.py")
    browser = load(file="magazine.ini")
    browser.authorization = ROSA
    browser.get("/publish")


def test_example_of_serving(url, folder, monkeypatch):
    run_path(folder / "let_rosa_publish.py")
    served = []
    monkeypatch.setattr("waitress.serve", lambda app, listen: served.append(TestApp(app)))
    run_path(folder / "serve.py")
    served[0].authorization = ROSA
    served[0].get("/publish")


def test_example_with_a_log(url, load, folder):
    """It says what happened, and goes on where the last one ended."""
    log = folder / "who.log"
    for _ in range(2):
        browser = load(file="shared.ini")
        browser.authorization = ROSA
        browser.get("/")
    text = log.read_text(encoding="utf-8")
    assert text.count("repoze.who request started (/)") == 2
    assert "headline" not in text


@pytest.mark.parametrize("kind", ["filter", "filter-app"])
def test_ways_to_put_it_around_the_application(url, load, fill, folder, kind):
    fill()
    options = f"use = egg:repoze.what.plugins.redis\n{WHO}\nredis.url = {url}"
    app = "use = call:magazine:make_app"
    texts = {
        "filter": f"[pipeline:main]\npipeline = what magazine\n\n[filter:what]\n{options}",
        "filter-app": f"[filter-app:main]\nnext = magazine\n{options}",
    }
    (folder / "site.ini").write_text(f"{texts[kind]}\n\n[app:magazine]\n{app}\n", encoding="utf-8")
    browser = load()
    browser.authorization = ROSA
    browser.get("/publish")


def test_options_of_all_sections(url, load, fill):
    """Paste Deploy keeps from a filter what is in [DEFAULT] too, so that is where it is read."""
    fill(db=0, namespace="magazine")
    browser = load(
        WHO,
        "redis.namespace = advertiser",
        "skip_authentication = false",
        default=(
            f"redis.url = {url}/0",
            "redis.namespace = magazine",
            "skip_authentication = true",
            "session.type = file",
            "debug = true",
        ),
    )
    browser.get("/publish", extra_environ={"REMOTE_USER": "rosa"})


def test_url_from_the_environment(url, load, fill, monkeypatch):
    fill()
    monkeypatch.setenv("REPOZE_WHAT_REDIS_URL", url)
    browser = load(WHO)
    browser.authorization = ROSA
    browser.get("/publish")


def test_password_with_signs_of_their_own(server, load, fill):
    """In the URL they are percent-encoded, and in the file each % is doubled."""
    fill()
    client = server.client()
    client.acl_setuser(
        "magazine", enabled=True, passwords=["+p/a%s@s"], keys=["*"], categories=["+@all"]
    )
    try:
        password = "p%%2Fa%%25s%%40s"
        browser = load(WHO, f"redis.url = redis://magazine:{password}@{servers.HOST}:{server.port}")
        browser.authorization = ROSA
        browser.get("/publish")
    finally:
        client.acl_deluser("magazine")


def test_key_of_the_remote_user(url, load, fill, folder):
    fill()
    with (folder / "who.ini").open("a", encoding="utf-8") as who:
        who.write("\n[general]\nremote_user_key = MAGAZINE_USER\n")
    login = {"MAGAZINE_USER": "rosa"}
    of_who = load(WHO, f"redis.url = {url}", "skip_authentication = yes")
    of_who.get("/publish", extra_environ=login)
    of_filter = load(
        WHO, f"redis.url = {url}", "skip_authentication = yes", "remote_user_key = READER"
    )
    of_filter.get("/publish", extra_environ=login, status=401)
    of_filter.get("/publish", extra_environ={"READER": "rosa"})


CLASSIFYING = """
from repoze.who.interfaces import IRequestClassifier
from zope.interface import provider

@provider(IRequestClassifier)
def classify(environ):
    return environ["PATH_INFO"].strip("/")
"""


def test_plugins_of_general(load, folder, monkeypatch):
    """A classifier and a challenge decider count, too."""
    (folder / "classifying.py").write_text(CLASSIFYING, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    who = (folder / "who.ini").read_text(encoding="utf-8")
    (folder / "who.ini").write_text(
        who.replace("plugins = passwords", "plugins = passwords;elsewhere") + "\n[general]\n"
        "request_classifier = classifying:classify\n"
        "challenge_decider = repoze.who.classifiers:passthrough_challenge_decider\n",
        encoding="utf-8",
    )
    browser = load(WHO, NOWHERE)
    browser.authorization = ROSA
    refusal = browser.get("/publish", status=401)
    assert "WWW-Authenticate" in refusal.headers
    refusal = browser.get("/publish", headers={"Accept": "text/html"}, status=401)
    assert "WWW-Authenticate" not in refusal.headers
    with pytest.raises(SourceUnavailable):
        browser.get("/elsewhere")


def test_source_that_is_not_available(load):
    # As setup_auth has it, where nothing is said.
    browser = load(WHO, NOWHERE)
    browser.authorization = ROSA
    with pytest.raises(SourceUnavailable):
        browser.get("/")
    browser = load(WHO, NOWHERE, "on_unavailable = anonymous")
    browser.authorization = ROSA
    assert browser.get("/").text == "The magazine."
    browser.get("/publish", status=503)


class TestLog:
    def test_of_passwords(self, url, load, folder):
        browser = load(
            WHO, f"redis.url = {url}", "log_file = %(here)s/debug.log", "log_level = DEBUG"
        )
        browser.authorization = ROSA
        browser.get("/")
        assert "headline" in (folder / "debug.log").read_text(encoding="utf-8")

    def test_on_standard_output(self, load, capsys):
        load(WHO, NOWHERE, "log_file = stdout").get("/")
        assert "repoze.who request started (/)" in capsys.readouterr().out

    def test_of_the_environment(self, load, capsys, monkeypatch):
        monkeypatch.setenv("AUTH_LOG", "1")
        load(WHO, NOWHERE).get("/")
        assert "repoze.who request started (/)" in capsys.readouterr().out

    @pytest.mark.parametrize(("level", "is_logged"), [("info", True), ("warning", False)])
    def test_of_the_application(self, load, caplog, level, is_logged):
        logger = logging.getLogger("repoze.who")
        try:
            load(WHO, NOWHERE, f"log_level = {level}").get("/")
        finally:
            logger.setLevel(logging.NOTSET)
        assert ("repoze.who request started (/)" in caplog.text) is is_logged

    def test_that_names_are_not_passwords(self, load, caplog):
        """As with repoze.who's own filter, whatever the application logs of others."""
        caplog.set_level(logging.DEBUG)
        try:
            browser = load(WHO, NOWHERE, "on_unavailable = anonymous")
            browser.authorization = ROSA
            browser.get("/")
        finally:
            logging.getLogger("repoze.who").setLevel(logging.NOTSET)
        assert "headline" not in caplog.text


LISTED = "There are config_file, log_file, log_level, remote_user_key, skip_authentication, "


@pytest.mark.parametrize(
    ("lines", "default", "message"),
    [
        ((NOWHERE,), (), "config_file is missing: it is the configuration file of repoze.who"),
        ((WHO,), (), "redis.url is missing. Give one such as redis://localhost:6379, or set REPOZ"),
        ((WHO, NOWHERE, "config = x"), (), f"The filter has no option 'config'. {LISTED}"),
        ((WHO, NOWHERE, "redis.nmespace = x"), (), "no setting 'redis.nmespace'. There are redis."),
        ((WHO, NOWHERE), ("redis.nmespace = x",), "There is no setting 'redis.nmespace'. There"),
        ((WHO, "redis.url = redis://h:s3cret"), (), "redis.url has a port that is no number"),
        ((WHO, "redis.url = redis://u:s3/cret@h"), (), "redis.url has an @ or a # where there is"),
        ((WHO, NOWHERE, "redis.namespace = my magazine"), (), "namespace is letters, digits and"),
        ((WHO, f"{NOWHERE}/0"), (), "Groups and permissions would both be in Redis at "),
        ((WHO, NOWHERE, "log_level = loud"), (), "log_level is one of debug, info, warning, error"),
        ((WHO, NOWHERE, "skip_authentication = maybe"), (), "skip_authentication is neither true"),
        ((WHO, NOWHERE, "on_unavailable = panic"), (), "on_unavailable is none of"),
        *(
            ((WHO, NOWHERE, f"{option} = x", "  redis.password = s3cret"), (), f"{option} has sev")
            for option in ("on_unavailable", "log_level", "log_file", "remote_user", "redis.db")
        ),
        ((WHO, "redis.url = redis://h", "  redis.password = s3"), (), "redis.url has several li"),
        ((WHO, NOWHERE, "redis.password s3cret=="), (), "There is no setting of a name with a bla"),
        ((WHO, NOWHERE, "secret s3cret=="), (), "The filter has no option of a name with a blank"),
        ((NOWHERE, "remote_user = X-User"), (), "trusted_proxies is missing: anybody can send X-U"),
        ((WHO, NOWHERE, "remote_user = REMOTE_USER"), (), "leave out the identifiers"),
    ],
)
def test_wrong_options(load, lines, default, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is looked at below
        load(*lines, default=default)
    (line,) = str(raised.value).splitlines()
    assert message in line
    assert "s3" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "%(here)s/passwords",
            "p%2Fs3cret",
            r"in \[plugin:passwords\], a % in filename is written",
        ),
        ("realm = The magazine", "secret s3cret", r"line 3 is neither a section, as in \["),
        ("[plugin:basic]", "secret = s3cret", r"line 1 is neither a section, as in \["),
        ("realm = The magazine", "secret s3cret==", "a plugin cannot be made of the options in"),
        ("[plugin:basic]", "secret = [s3cret", r"line 1 is neither a section, as in \["),
        ("magazine:check_password", "nothing:there", "ModuleNotFoundError: No module named 'noth"),
        ("plugins = basic", "", "KeyError: 'plugins'"),
        (
            "realm",
            "kingdom",
            "a plugin cannot be made of the options in its section: it takes no kingdom",
        ),
    ],
)
def test_wrong_configuration_of_who(load, folder, old, new, message):
    file = folder / "who.ini"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"who\.ini: {message}") as raised:
        load(WHO, NOWHERE)
    assert len(str(raised.value).splitlines()) == 1
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_byte_order_mark(load, folder):
    """Some editors begin a file with it."""
    file = folder / "who.ini"
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    load(WHO, NOWHERE)


@pytest.mark.parametrize(
    ("lines", "option"),
    [
        (("config_file = %(here)s/whose.ini", NOWHERE), "config_file"),
        ((WHO, NOWHERE, "log_file = %(here)s/nowhere/who.log"), "log_file"),
    ],
)
def test_file_that_cannot_be_opened(load, lines, option):
    with pytest.raises(
        FileNotFoundError, match=f"{option} cannot be opened: No such file"
    ) as raised:
        load(*lines)
    assert str(raised.value).endswith(("whose.ini'", "who.log'"))


def test_adapters_reach_the_application(url, folder):
    """Each is there under the name of this library, next to what else an application may have."""
    seen = {}

    def app(environ, start_response):
        seen.update(environ["repoze.what.adapters"])
        start_response("200 OK", [])
        return []

    what = make_filter_app(
        app,
        {"here": str(folder), "skip_authentication": "1"},
        **{"config_file": str(folder / "who.ini"), "redis.url": url},
    )
    what({"REMOTE_USER": "rosa", "PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
    assert isinstance(seen["groups"]["redis"], RedisGroupAdapter)
    assert seen["permissions"]["redis"].DB_NAME == 2
