"""Flask behind the middleware."""

import pytest
import webtest
from harness.proxy import CUT_REPLY

pytest.importorskip("flask")

import flask_site


@pytest.fixture
def site(groups, permissions):
    return flask_site.make_site(groups, permissions)


def test_view_whose_own_question_fails(site, proxy):
    browser = webtest.TestApp(site)
    assert browser.get("/masthead").text == "rosa"
    proxy.arm(CUT_REPLY, CUT_REPLY)
    assert browser.get("/masthead", status=503).headers["Retry-After"] == "10"
    assert browser.get("/masthead").text == "rosa"


def test_says_why_it_refuses(site):
    browser = site.test_client()
    answer = browser.get("/publish", auth=("ben", "notebook"))
    assert answer.status_code == 403
    assert "must have the &#34;publish&#34; permission" in answer.text
    assert browser.get("/publish", auth=("rosa", "headline")).text == "Publish away"
