from pathlib import Path

from paste.deploy import loadapp
from webtest import TestApp


def test_publishing():
    browser = TestApp(loadapp(f"config:{Path(__file__).with_name('test.ini')}"))
    browser.get("/publish", extra_environ={"REMOTE_USER": "rosa"})
    browser.get("/publish", extra_environ={"REMOTE_USER": "ben"}, status=403)
    browser.get("/publish", status=401)
