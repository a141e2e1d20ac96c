"""The recipes that need no framework: API keys, and a worker."""

import queue
from types import SimpleNamespace

import pytest
import without_framework
from harness.proxy import CUT_REPLY
from without_framework import Authorization, Job, check_key, work

from repoze.what.adapters import SourceUnavailable
from repoze.what.predicates import NotAuthorizedError

KEY_OF_ROSA, KEY_OF_BEN = "rosa's long random key", "ben's long random key"


@pytest.fixture
def authorization(groups, permissions):
    return Authorization(groups, permissions)


def test_permissions_are_one_question(authorization, proxy, questions_of_a_request):
    with proxy.counted(questions_of_a_request):
        assert authorization.permissions_of("rosa") == {"publish", "newspaper.print"}
    with proxy.counted(1):
        assert authorization.permissions_of("ben") == set()


# API keys


def test_key(authorization, groups, permissions):
    assert check_key(KEY_OF_ROSA, "publish", authorization) == "rosa"
    with pytest.raises(NotAuthorizedError, match="not for publish"):
        check_key(KEY_OF_BEN, "publish", authorization)
    groups.include_item("editors", "ben")
    assert check_key(KEY_OF_BEN, "publish", authorization) == "ben"
    permissions.exclude_item("publish", "editors")
    with pytest.raises(NotAuthorizedError, match="not for publish"):
        check_key(KEY_OF_ROSA, "publish", authorization)


@pytest.mark.parametrize("key", ["", "rosa", KEY_OF_ROSA.upper()])
def test_key_of_nobody(authorization, proxy, key):
    with proxy.counted(0), pytest.raises(NotAuthorizedError):
        check_key(key, "publish", authorization)


def test_key_where_the_source_is_down(authorization, proxy):
    proxy.lose_server()
    with pytest.raises(SourceUnavailable):
        check_key(KEY_OF_ROSA, "publish", authorization)


# The worker


class Desk:
    """Has jobs done, and notes what became of them."""

    def __init__(self, authorization):
        self.authorization = authorization
        self.done, self.refused = [], []

    def work(self, *users):
        jobs = queue.SimpleQueue()
        for user in users:
            jobs.put(Job(user, "publish", "A headline"))
        jobs.put(None)
        work(
            jobs,
            lambda job: self.done.append(job.user_id),
            lambda job: self.refused.append(job.user_id),
            self.authorization,
        )
        assert jobs.empty()


@pytest.fixture
def desk(authorization):
    return Desk(authorization)


def test_worker_does_what_is_permitted(desk):
    desk.work("rosa", "ben", "rosa")
    assert (desk.done, desk.refused) == (["rosa", "rosa"], ["ben"])


def test_worker_looks_when_the_turn_of_a_job_comes(desk, groups):
    class Once(list):
        def append(self, user):
            super().append(user)
            groups.exclude_item("editors", user)

    desk.done = Once()
    desk.work("rosa", "rosa")
    assert (desk.done, desk.refused) == (["rosa"], ["rosa"])


def test_job_waits_while_the_source_is_down(desk, proxy, groups, monkeypatch, caplog):
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        assert (desk.done, desk.refused) == ([], [])
        if len(pauses) == 2:
            groups.exclude_item("editors", "rosa")

    monkeypatch.setattr(without_framework, "time", SimpleNamespace(sleep=pause))
    # Each lookup is tried twice.
    proxy.arm(*[CUT_REPLY] * 4)
    desk.work("rosa", "ben")
    assert pauses == [10, 10]
    assert (desk.done, desk.refused) == ([], ["rosa", "ben"])
    assert "cannot be looked up" in caplog.text
