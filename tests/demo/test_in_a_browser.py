import shutil
import subprocess

import pytest

from repoze.what.plugins.redis.demo.web_server import LOOPBACK, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--enable-logging=stderr",
    "--dump-dom",
)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_a_browser_shows_the_form_and_finds_nothing_to_object_to(newspaper, tmp_path):
    asked = []

    def recorded(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return newspaper(environ, start_response)

    with serving(recorded, 0) as port:
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path}"]
        browser = subprocess.run(
            [*command, f"http://{LOOPBACK}:{port}/payroll"],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
    assert "“Payroll” is for mina, and the admins." in browser.stdout
    assert asked == ["/payroll", "/login", "/style.css"]
    assert ":CONSOLE" not in browser.stderr
