"""The application in the README, started as often as one likes."""

import re
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import authentication
import webtest
import wsgi_site

README = Path(__file__).parents[2] / "README.rst"


def test_application_starts_again(proxy):
    text = README.read_text(encoding="utf-8")
    blocks = [dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", text)]
    [(application, once)] = [pair for pair in pairwise(blocks) if "setup_auth(" in pair[0]]
    start = application.partition("\nhas_permission")[0]
    start = start.replace("Redis(socket", f"Redis(port={proxy.port}, socket")

    def started():
        names = {"application": wsgi_site.site, "who_plugins": authentication.BASIC_AUTHENTICATION}
        exec(start, names)  # noqa: S102 - it is the README's
        return names

    exec(once, started())  # noqa: S102
    browser = webtest.TestApp(started()["application"])
    browser.authorization = ("Basic", ("rosa", "headline"))
    answer = browser.get("/", status=200)
    assert answer.request.environ["repoze.what.credentials"]["permissions"] == ("edit-articles",)
