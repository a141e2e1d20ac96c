import logging

import pytest

from repoze.what import authorize, predicates

RMS = {"repoze.what.credentials": {"repoze.what.userid": "rms", "permissions": ("commit",)}}


@pytest.mark.parametrize("predicate", [None, predicates.has_permission("commit")])
def test_authorized(predicate):
    with pytest.deprecated_call(match=r"use predicate\.check_authorization\(environ\)"):
        assert authorize.check_authorization(predicate, RMS) is None


def test_not_authorized(caplog):
    caplog.set_level(logging.INFO)
    environ = {**RMS, "repoze.who.logger": logging.getLogger("who")}
    message = 'The user must have the "leave" permission'
    with (
        pytest.deprecated_call(match="deprecated"),
        pytest.raises(authorize.NotAuthorizedError) as refusal,
    ):
        authorize.check_authorization(predicates.has_permission("leave"), environ)
    assert str(refusal.value) == message
    assert caplog.messages == [f"Authorization denied: {message}"]


def test_predicate_that_is_false_is_checked_all_the_same():
    """`repoze.what.plugins.pylonshq` could give predicates a truth value."""

    class NeverTrue(predicates.has_permission):
        def __bool__(self):
            return False

    with (
        pytest.deprecated_call(match="deprecated"),
        pytest.raises(authorize.NotAuthorizedError),
    ):
        authorize.check_authorization(NeverTrue("leave"), RMS)


@pytest.mark.parametrize("name", predicates.__all__)
def test_predicates_for_old_imports(name):
    assert getattr(authorize, name) is getattr(predicates, name)
    assert name in authorize.__all__
