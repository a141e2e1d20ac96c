import shutil
from pathlib import Path

import fakeredis
import pytest
from browser.reader import Reader
from harness import servers

from repoze.what.plugins.redis.demo import passwords
from repoze.what.plugins.redis.demo.people import PASSWORDS, fill
from repoze.what.plugins.redis.demo.site import Site
from repoze.what.plugins.redis.demo.web_server import LOOPBACK, serving

EXECUTABLES = list(servers.executables().values())
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# For a page, in milliseconds, however slow the machine is.
LONGEST_WAIT = 300_000
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def pytest_addoption(parser):
    parser.addoption(
        "--screenshots", action="store_true", help="take the manual's screenshots of the demo anew"
    )


@pytest.fixture
def images(request, tmp_path) -> Path:
    """Where screenshots go: into the manual where that is asked for."""
    is_asked = request.config.getoption("--screenshots", default=False)
    return IMAGES if is_asked else tmp_path


@pytest.fixture(scope="package")
def launch():
    """Start a browser: a process of its own."""
    sync_api = pytest.importorskip("playwright.sync_api")
    browsers = []

    def start():
        browser = driver.chromium.launch(executable_path=executable, timeout=LONGEST_WAIT)
        browsers.append(browser)
        return browser

    with sync_api.sync_playwright() as driver:
        found = map(shutil.which, NAMES)
        executable = next(filter(None, found), driver.chromium.executable_path)
        if not Path(executable).exists():
            pytest.skip("no Chromium on the PATH, and no 'playwright install chromium'")
        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="package")
def chromium(launch):
    return launch()


@pytest.fixture(scope="package")
def another_chromium(launch):
    return launch()


@pytest.fixture(scope="package")
def redis_server():
    """A server of this package's, if there is any on this machine."""
    if not EXECUTABLES:
        yield None
        return
    server = servers.RedisServer(EXECUTABLES[0])
    yield server
    server.stop()


@pytest.fixture
def client(redis_server):
    """A client of it, empty, or else of a server in this process."""
    if redis_server is None:
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())
    client = redis_server.client()
    client.flushall()
    return client


@pytest.fixture
def options() -> dict[str, str]:
    return {}


@pytest.fixture
def stoppable(redis_server):
    """The server that the site asks, which a test may halt."""
    if redis_server is None:
        pytest.skip("no redis-server or valkey-server on this machine")
    yield redis_server
    redis_server.restart()


@pytest.fixture(scope="package")
def htpasswd(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("passwords") / "htpasswd"
    with pytest.MonkeyPatch.context() as patch:
        # That they are checked slowly is no matter here.
        patch.setattr(passwords, "_LOG2_COST", 2)
        patch.setattr(passwords, "_PARALLELIZATION", 1)
        passwords.write_htpasswd(path, PASSWORDS)
    return path


@pytest.fixture
def requests() -> list[str]:
    """The paths that the site was asked for."""
    return []


@pytest.fixture
def address(groups, permissions, htpasswd, requests):
    """Where the newspaper's site is served."""
    fill(groups, permissions)
    site = Site(groups, permissions, htpasswd, "redis-cli -p 6379")

    def recorded(environ, start_response):
        requests.append(environ["PATH_INFO"])
        return site(environ, start_response)

    with serving(recorded, 0) as port:
        yield f"http://{LOOPBACK}:{port}"


@pytest.fixture
def reader(chromium, address):
    """Give somebody a window of their own, logged in if they are named.

    At the end, no page may have asked for anything elsewhere, nor the browser have complained.
    """
    contexts = []
    elsewhere = []
    complaints = []

    def start(user: str | None = None, browser=chromium, **settings) -> Reader:
        context = browser.new_context(**{"reduced_motion": "reduce"} | settings)
        contexts.append(context)
        context.set_default_timeout(LONGEST_WAIT)
        context.on("request", lambda request: elsewhere.append(request.url))
        context.on("console", lambda message: complaints.append(message.text))
        found = Reader(context.new_page(), address, PASSWORDS)
        if user:
            found.log_in(user)
            found.sees(f"You are {user}")
        return found

    yield start
    for context in contexts:
        context.close()
    assert [url for url in elsewhere if not url.startswith((address, "data:,"))] == []
    # Chromium counts a refused page among its complaints.
    refusal = "Failed to load resource: the server responded with a status of "
    assert [text for text in complaints if not text.startswith(refusal)] == []
