import io
import logging
import math
import mmap
import uuid
from array import array
from collections import UserString, deque
from ctypes import c_char
from pathlib import PurePath

import pytest
from webob import Request

from repoze.what.predicates import (
    All,
    Any,
    CompoundPredicate,
    Not,
    NotAuthorizedError,
    Predicate,
    PredicateError,
    UnclearRequestError,
    has_all_permissions,
    has_any_permission,
    has_permission,
    in_all_groups,
    in_any_group,
    in_group,
    is_anonymous,
    is_user,
    not_anonymous,
)


def environ_of(user_id=None, groups=(), permissions=()):
    if user_id is None:
        return {}
    return {
        "repoze.what.credentials": {
            "repoze.what.userid": user_id,
            "groups": groups,
            "permissions": permissions,
        }
    }


ANONYMOUS = environ_of()
RMS = environ_of("rms", ("admins", "developers"), ("commit", "edit-site"))


class IsMonth(Predicate):
    message = "The current month must be %(right_month)s and it is %(this_month)s"

    def __init__(self, right_month, **arguments):
        self.right_month = right_month
        super().__init__(**arguments)

    def evaluate(self, environ, credentials):
        if environ.get("month") != self.right_month:
            self.unmet(this_month=environ.get("month"))


# The built-in ones


@pytest.mark.parametrize(
    "predicate",
    [
        is_user("rms"),
        not_anonymous(),
        in_group("admins"),
        in_all_groups("admins", "developers"),
        in_any_group("trolls", "developers"),
        has_permission("commit"),
        has_all_permissions("commit", "edit-site"),
        has_any_permission("see-site", "commit"),
        Not(is_user("linus")),
        Not(is_anonymous()),
        All(is_user("rms"), in_group("admins")),
        All(),
        Any(is_user("linus"), in_group("admins")),
        All(Any(is_user("linus"), is_user("rms")), Not(in_group("trolls"))),
    ],
    ids=lambda predicate: type(predicate).__name__,
)
def test_met(predicate):
    assert predicate.is_met(RMS) is True
    assert predicate.check_authorization(RMS) is None


@pytest.mark.parametrize(
    ("predicate", "environ", "message"),
    [
        (is_user("linus"), RMS, 'The current user must be "linus"'),
        (is_user("rms"), ANONYMOUS, 'The current user must be "rms"'),
        (is_anonymous(), RMS, "The current user must be anonymous"),
        (not_anonymous(), ANONYMOUS, "The current user must have been authenticated"),
        (
            in_group("trolls"),
            RMS,
            'The current user must belong to the group "trolls"',
        ),
        (
            in_all_groups("admins", "trolls", "php"),
            RMS,
            'The current user must belong to the group "trolls"',
        ),
        (
            in_any_group("trolls", "php"),
            RMS,
            "The member must belong to at least one of the following groups: trolls, php",
        ),
        (in_any_group(), RMS, "The member must belong to at least one of the following groups: "),
        (has_permission("see-site"), RMS, 'The user must have the "see-site" permission'),
        (
            has_all_permissions("commit", "see-site"),
            RMS,
            'The user must have the "see-site" permission',
        ),
        (
            has_any_permission("see-site", "leave"),
            RMS,
            "The user must have at least one of the following permissions: see-site, leave",
        ),
        (Not(is_user("rms")), RMS, "The condition must not be met"),
        (All(is_user("rms"), is_user("linus")), RMS, 'The current user must be "linus"'),
        (
            Any(is_user("linus"), in_group("trolls")),
            RMS,
            "At least one of the following predicates must be met: "
            'The current user must be "linus", '
            'The current user must belong to the group "trolls"',
        ),
    ],
)
def test_unmet(predicate, environ, message):
    assert predicate.is_met(environ) is False
    with pytest.raises(NotAuthorizedError) as refusal:
        predicate.check_authorization(environ)
    assert str(refusal.value) == message
    with pytest.raises(NotAuthorizedError) as refusal:
        predicate.evaluate(environ, environ.get("repoze.what.credentials"))
    assert str(refusal.value) == message


def test_anonymous():
    assert is_anonymous().is_met(ANONYMOUS)
    assert is_anonymous().is_met({"repoze.what.credentials": {}})


def test_refusal_is_a_predicate_error():
    assert issubclass(NotAuthorizedError, PredicateError)


def test_compound_keeps_its_predicates():
    first, second = is_user("rms"), in_group("admins")
    assert CompoundPredicate(first, second).predicates == (first, second)


def test_any_stops_at_the_first_that_is_met():
    class Fails(Predicate):
        def evaluate(self, environ, credentials):
            raise AssertionError

    assert Any(is_user("rms"), Fails()).is_met(RMS)


# Fail closed

EVERY_ONE = [
    is_user("rms"),
    is_user(None),
    is_user(""),
    not_anonymous(),
    in_group("admins"),
    in_all_groups("admins"),
    in_any_group("admins"),
    has_permission("commit"),
    has_all_permissions("commit"),
    has_any_permission("commit"),
]


@pytest.mark.parametrize("predicate", EVERY_ONE)
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"repoze.what.credentials": None},
        {"repoze.what.credentials": {}},
        {"repoze.what.credentials": {"groups": None, "permissions": None}},
        {"repoze.what.credentials": {"repoze.what.userid": None}},
        {"repoze.what.credentials": {"repoze.what.userid": ""}},
    ],
)
def test_missing_credentials(predicate, environ):
    assert predicate.is_met(environ) is False
    with pytest.raises(NotAuthorizedError):
        predicate.evaluate(environ, environ.get("repoze.what.credentials"))


ODD = [
    {"repoze.what.credentials": "rms"},
    {"repoze.what.credentials": ("rms", "admins")},
    {"repoze.what.credentials": {"groups": "sysadmins", "permissions": "commit-all"}},
    {"repoze.what.credentials": {"groups": b"admins"}},
    {"repoze.what.credentials": {"groups": 5}},
    {"repoze.what.credentials": {"permissions": iter(["commit"])}},
    *(
        {"repoze.what.credentials": {kind: names}}
        for kind in ("groups", "permissions")
        for names in (
            UserString("sysadmins"),
            bytearray(b"sysadmins"),
            memoryview(b"sysadmins"),
            array("b", b"sysadmins"),
            range(5),
            {"admins": False},
            deque(["sysadmins"]),
            [b"admins"],
            (bytearray(b"admins"),),
            [mmap.mmap(-1, 6)],
            [(c_char * 6)(*b"admins")],
            [iter(["admins"])],
            [object],
            [print],
            [float("nan")],
            [PurePath("admins")],
            {UserString("admins")},
            [["admins"]],
            [("admins", "developers")],
            ["admins", True],
            ["admins", None],
            "",
            b"",
            0,
            False,
        )
    ),
    *(
        {"repoze.what.credentials": {"repoze.what.userid": user_id}}
        for user_id in (
            b"",
            b"rms",
            bytearray(b"rms"),
            memoryview(b"rms"),
            UserString("rms"),
            array("b", b"rms"),
            mmap.mmap(-1, 6),
            (name for name in ["rms"]),
            ValueError("rms"),
            PurePath("rms"),
            ["rms"],
            {"rms"},
            {},
            True,
            False,
        )
    ),
]


NOT_FOR_ODD_ONES = [
    *EVERY_ONE,
    is_anonymous(),
    Not(is_user("linus")),
    Not(is_anonymous()),
    Not(not_anonymous()),
    Not(in_group("admins")),
    Not(has_permission("commit")),
    Any(Not(in_all_groups("admins", "trolls")), is_user("linus")),
    Not(All(Not(in_any_group("admins")), msg="No")),
    Not(Any(in_group("admins"), has_permission("commit"))),
    All(),
]


@pytest.mark.parametrize("environ", ODD)
def test_odd_credentials_meet_nothing(environ):
    for predicate in NOT_FOR_ODD_ONES:
        assert predicate.is_met(environ) is False
        with pytest.raises(NotAuthorizedError):
            predicate.check_authorization(environ)


@pytest.mark.filterwarnings("error::BytesWarning")
@pytest.mark.parametrize("environ", ODD)
def test_odd_credentials_meet_nothing_by_themselves(environ):
    """As other code evaluates predicates, inside those of a framework's own for example."""
    predicate = All(
        Any(Not(is_user("linus"))),
        Not(Not(Not(in_group("trolls")))),
        All(Not(has_permission("leave")), msg="No"),
    )
    with pytest.raises(UnclearRequestError):
        predicate.evaluate(environ, environ["repoze.what.credentials"])


def test_members_that_are_names():
    """Those of adapters of others need not be text."""
    names = {"admins", 7, uuid.UUID(int=1), StrSubclass("rms")}
    for groups in (names, frozenset(names), list(names), tuple(names), dict.fromkeys(names).keys()):
        environ = environ_of(7, groups)
        assert in_all_groups("admins", "rms").is_met(environ)
        assert in_group(7).is_met(environ)
        assert in_group(uuid.UUID(int=1)).is_met(environ)
        assert Not(in_group("7")).is_met(environ)
        assert is_user(7).is_met(environ)


class StrSubclass(str):
    __slots__ = ()


def test_group_is_not_part_of_a_name():
    credentials = {"groups": "sysadmins"}
    with pytest.raises(NotAuthorizedError):
        in_group("admins").evaluate({}, credentials)


def test_bare_predicate_is_neither_true_nor_false():
    with pytest.raises(TypeError, match=r"is_user .*is_met\(environ\)"):
        bool(is_user("rms"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Not("suspended"),
        lambda: Not(in_group),
        lambda: Not(lambda environ: True),
        lambda: All("admins"),
        lambda: Any(not_anonymous(), not_anonymous),
        lambda: All([not_anonymous()]),
    ],
)
def test_compound_of_what_is_no_predicate(make):
    with pytest.raises(TypeError, match=r"A predicate of repoze\.what is wanted, not "):
        make()


@pytest.mark.parametrize("name", [["suspended"], {"suspended"}, ("a", "b"), b"suspended", {}])
@pytest.mark.parametrize(
    "predicate_class",
    [is_user, in_group, in_all_groups, in_any_group, has_permission, has_all_permissions],
)
def test_name_that_nobody_can_have(predicate_class, name):
    """A `Not` of it would be met by everybody."""
    with pytest.raises(TypeError, match="One name is wanted, as text, not "):
        predicate_class(name)


def test_predicate_without_evaluate():
    class Unfinished(Predicate):
        pass

    with pytest.raises(NotImplementedError, match="Unfinished"):
        Unfinished().is_met(RMS)


# Messages


@pytest.mark.parametrize(
    "predicate",
    [
        is_user("linus", msg="No"),
        is_anonymous(msg="No"),
        in_group("trolls", msg="No"),
        in_all_groups("trolls", "php", msg="No"),
        in_any_group("trolls", "php", msg="No"),
        has_permission("see-site", msg="No"),
        has_all_permissions("see-site", "leave", msg="No"),
        has_any_permission("see-site", "leave", msg="No"),
        Not(is_user("rms"), msg="No"),
        All(is_user("linus"), is_user("rms"), msg="No"),
        Any(is_user("linus"), msg="No"),
    ],
    ids=lambda predicate: type(predicate).__name__,
)
def test_message_of_an_instance(predicate):
    with pytest.raises(NotAuthorizedError, match=r"^No$"):
        predicate.check_authorization(RMS)
    assert "No" not in {str(type(predicate).message), Predicate.message}


def test_not_anonymous_message_of_an_instance():
    with pytest.raises(NotAuthorizedError, match=r"^No$"):
        not_anonymous(msg="No").check_authorization(ANONYMOUS)


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        (IsMonth(3), "The current month must be 3 and it is 4"),
        (IsMonth(3, msg="%(this_month)s is not %(right_month)d"), "4 is not 3"),
        (IsMonth(3, msg="请登陆 %(this_month)s"), "请登陆 4"),
        (in_group("php", msg="Join %(group_name)s"), "Join php"),
        (has_permission("leave", msg="Ask for %(permission_name)s"), "Ask for leave"),
        (is_user("éva", msg="Only %(user_name)s"), "Only éva"),
        (in_any_group("php", "c", msg="One of %(group_list)s"), "One of php, c"),
        (has_any_permission("a", "b", msg="One of %(permission_list)s"), "One of a, b"),
        (Any(is_user("x", msg="A"), msg="Not: %(failed_predicates)s"), "Not: A"),
        (IsMonth(3, msg=""), ""),
    ],
)
def test_placeholders(predicate, message):
    environ = {"month": 4}
    with pytest.raises(NotAuthorizedError) as refusal:
        predicate.check_authorization(environ)
    assert str(refusal.value) == message


def test_message_of_one_refusal():
    predicate = IsMonth(3)
    with pytest.raises(NotAuthorizedError, match=r"^Wait 5 days$"):
        predicate.unmet("Wait %(days)s days", days=5)
    assert predicate.message == IsMonth.message


def test_placeholder_in_place_of_an_attribute():
    with pytest.raises(NotAuthorizedError, match=r"^The current month must be May and it is 4$"):
        IsMonth(5).unmet(right_month="May", this_month=4)


class KeepsSecrets(Predicate):
    message = "Not %(what)s"

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.secret = "open sesame"


@pytest.mark.parametrize("wish", ["%(secret)s", "%(secret)r", "%(secret)99999999s", "100 %"])
def test_text_of_a_user_shows_no_attribute(wish):
    with pytest.raises(NotAuthorizedError) as refusal:
        KeepsSecrets().unmet(f"Not {wish}, %(answer)s", answer="no")
    assert str(refusal.value) == f"Not {wish}, no"
    with pytest.raises(NotAuthorizedError) as refusal:
        KeepsSecrets().unmet(what=wish)
    assert str(refusal.value) == f"Not {wish}"


@pytest.mark.parametrize("length", ["99999999", ".99999999", "100", "-999", "1000."])
@pytest.mark.parametrize("conversion", "sdf")
def test_no_placeholder_makes_a_long_message(length, conversion):
    message = f"%(what){length}{conversion}"
    for refuse in (
        lambda: KeepsSecrets(msg=message).unmet(what=1),
        lambda: KeepsSecrets().unmet(message, what=1),
    ):
        with pytest.raises(NotAuthorizedError) as refusal:
            refuse()
        assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("wish", "value"), [("%(n)c", 10**9), ("%(n)d", math.inf), ("%(n)e", 10**400)]
)
def test_placeholder_for_less_than_its_value(wish, value):
    with pytest.raises(NotAuthorizedError) as refusal:
        KeepsSecrets(msg=f"Not {wish}").unmet(n=value)
    assert str(refusal.value) == f"Not {wish}"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("%(what)5.1f%%", "  2.5%"),
        ("%(what)r of 100%%", "2.5 of 100%"),
        ("100% of %(what)s", "100% of 2.5"),
        ("%(what)s and %(missing)s", "2.5 and %(missing)s"),
        ("%%(what)s", "%(what)s"),
    ],
)
def test_message_is_formatted_as_far_as_it_can_be(message, expected):
    with pytest.raises(NotAuthorizedError) as refusal:
        KeepsSecrets(msg=message).unmet(what=2.5)
    assert str(refusal.value) == expected


@pytest.mark.parametrize("message", ["100%", "%(missing)s", "50% of", "%d", "%(right_month)y"])
def test_slip_in_a_message_still_refuses(message):
    predicate = IsMonth(3, msg=message)
    assert predicate.is_met({}) is False
    with pytest.raises(NotAuthorizedError) as refusal:
        predicate.check_authorization({})
    assert str(refusal.value) == message


def test_lazily_translated_message():
    language = "en"

    class Lazy:
        def __str__(self):
            return {"en": "Only %(user_name)s", "es": "Solo %(user_name)s"}[language]

    predicate = is_user("carla", msg=Lazy())
    language = "es"
    with pytest.raises(NotAuthorizedError, match=r"^Solo carla$"):
        predicate.check_authorization(RMS)


def test_decisions_are_logged(caplog):
    caplog.set_level(logging.INFO)
    environ = {**RMS, "repoze.who.logger": logging.getLogger("who")}
    is_user("rms").check_authorization(environ)
    with pytest.raises(NotAuthorizedError):
        is_user("linus", msg="请 %(user_name)s").check_authorization(environ)
    assert caplog.messages == ["Authorization granted", "Authorization denied: 请 linus"]


@pytest.mark.parametrize("breaks", ["\n", "\r", "\x85", "\u2028", "\x1b[2K", "\0", "\u202e"])
def test_no_message_forges_a_line_of_the_log(caplog, breaks):
    caplog.set_level(logging.INFO)
    environ = {**RMS, "repoze.who.logger": logging.getLogger("who")}
    text = f"éva{breaks}Authorization granted"
    with pytest.raises(NotAuthorizedError) as refusal:
        is_user(text).check_authorization(environ)
    assert str(refusal.value) == f'The current user must be "{text}"'
    (line,) = caplog.messages
    assert line.startswith('Authorization denied: The current user must be "éva\\')
    assert line.isprintable()


def test_asking_is_not_logged(caplog):
    caplog.set_level(logging.INFO)
    is_user("rms").is_met({**RMS, "repoze.who.logger": logging.getLogger("who")})
    assert caplog.messages == []


# Predicates in the style of before 1.0.2


class OldStyle(Predicate):
    message = "It must be %(wanted)s"

    def __init__(self, wanted, **arguments):
        super().__init__(**arguments)
        self.wanted = wanted

    def _eval_with_environ(self, environ):
        return environ.get("actual") == self.wanted


@pytest.mark.parametrize(("actual", "is_met"), [(3, True), (4, False), (None, False)])
def test_old_style(actual, is_met):
    with pytest.warns(DeprecationWarning, match=r"OldStyle: define evaluate\("):
        assert OldStyle(3).is_met({"actual": actual}) is is_met


def test_old_style_refusal():
    predicate = All(OldStyle(3))
    with (
        pytest.warns(DeprecationWarning, match="OldStyle"),
        pytest.raises(NotAuthorizedError, match=r"^It must be 3$"),
    ):
        predicate.check_authorization({})


# What nobody waits for


async def refuse_later():
    raise NotAuthorizedError


def refuse_when_read():
    raise NotAuthorizedError
    yield


async def refuse_when_awaited():
    raise NotAuthorizedError
    yield


UNFINISHED = (refuse_later, refuse_when_read, refuse_when_awaited)


@pytest.mark.parametrize("method", ["evaluate", "_eval_with_environ"])
@pytest.mark.parametrize("function", UNFINISHED)
def test_coroutine_in_place_of_a_method(method, function):
    with pytest.raises(TypeError, match=rf"Later\.{method} is a coroutine or a generator"):
        type("Later", (Predicate,), {method: function})


class RefuseLater:
    async def __call__(self, *_):
        raise NotAuthorizedError


def test_object_that_is_called_and_has_to_be_awaited():
    with pytest.raises(TypeError, match=r"Later\.evaluate is a coroutine or a generator"):
        type("Later", (Predicate,), {"evaluate": RefuseLater()})


@pytest.mark.parametrize("make", UNFINISHED)
@pytest.mark.parametrize("method", ["evaluate", "_eval_with_environ"])
@pytest.mark.filterwarnings("ignore:.*define evaluate:DeprecationWarning")
def test_coroutine_that_is_returned(method, make):
    later = type("Later", (Predicate,), {method: lambda *_: make()})()
    for predicate in (later, All(later), Any(later), Not(later), Any(later, Predicate())):
        with pytest.raises(TypeError, match="Later is evaluated by a coroutine, which nobody"):
            predicate.is_met({})


def test_future_that_is_returned():
    """It is no coroutine, and cannot be closed."""

    class Future:
        def __await__(self):
            raise AssertionError

    with pytest.raises(TypeError, match="which nobody awaits"):
        type("Later", (Predicate,), {"evaluate": lambda *_: Future()})().is_met({})


@pytest.mark.parametrize("decision", [False, 0, "no", NotAuthorizedError("no")])
def test_decision_that_is_returned(decision):
    decided = type("Decided", (Predicate,), {"evaluate": lambda *_: decision})()
    for predicate in (decided, All(decided), Any(decided), Not(decided)):
        with pytest.raises(TypeError, match=r"Decided\.evaluate refuses by unmet\(\)"):
            predicate.check_authorization({})


@pytest.mark.parametrize("decision", [None, True])
def test_predicate_that_says_that_it_is_met(decision):
    assert type("Decided", (Predicate,), {"evaluate": lambda *_: decision})().is_met({})


# Two requests at once


@pytest.mark.parametrize(
    ("predicate_class", "key", "message"),
    [
        (in_all_groups, "groups", 'The current user must belong to the group "%s"'),
        (has_all_permissions, "permissions", 'The user must have the "%s" permission'),
    ],
)
def test_refusal_amid_another(predicate_class, key, message):
    shared = predicate_class("one", "other")

    def check_refusal(missing, present, **rest):
        environ = {"repoze.what.credentials": {key: present}, **rest}
        with pytest.raises(NotAuthorizedError, match=f"^{message % missing}$"):
            shared.check_authorization(environ)

    class Amid(set):
        """The names of a user whose request is interrupted by another, wherever it can be."""

        def __iter__(self):
            check_refusal("one", {"other"})
            return super().__iter__()

        def __contains__(self, name):
            check_refusal("one", {"other"})
            return super().__contains__(name)

        def info(self, _):
            check_refusal("one", {"other"})

    check_refusal("other", Amid(["one"]), **{"repoze.who.logger": Amid()})


# The variables of a request


def test_variables_of_nothing():
    assert IsMonth(3).parse_variables({}) == {
        "get": {},
        "post": {},
        "positional_args": (),
        "named_args": {},
    }


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_variables(method, content_type):
    request = Request.blank(
        "/posts?post_id=5&tag=%C3%A9&empty=",
        method=method,
        POST={"author": "éva", "title": ""},
        content_type=content_type,
    )
    request.environ["wsgi.input"] = io.BufferedReader(io.BytesIO(request.body))
    request.is_body_seekable = False
    request.environ["wsgiorg.routing_args"] = ((45, "x"), {"language": "es"})
    body = request.copy().body
    variables = IsMonth(3).parse_variables(request.environ)
    assert variables["get"] == {"post_id": "5", "tag": "é", "empty": ""}
    assert variables["post"] == {"author": "éva", "title": ""}
    assert variables["positional_args"] == (45, "x")
    assert variables["named_args"] == {"language": "es"}
    # And again, by predicates that follow, and by an application that knows nothing of WebOb.
    assert IsMonth(3).parse_variables(request.environ) == variables
    assert request.environ["wsgi.input"].read(request.content_length) == body


def test_uploaded_file():
    request = Request.blank("/", POST={"photo": ("photo.jpg", b"\xff\xd8"), "of": "éva"})
    variables = IsMonth(3).parse_variables(request.environ)
    assert variables["post"]["photo"].file.read() == b"\xff\xd8"
    assert variables["post"]["of"] == "éva"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_body_that_is_not_a_form_is_not_read(content_type):
    body = io.BytesIO(b'{"a=b&": 1}')
    request = Request.blank("/", method="PUT", content_type=content_type)
    request.environ |= {"wsgi.input": body, "CONTENT_LENGTH": "11"}
    assert IsMonth(3).parse_variables(request.environ)["post"] == {}
    assert request.environ["wsgi.input"] is body
    assert body.tell() == 0


def test_post_of_no_type_may_be_a_form():
    request = Request.blank("/", method="POST", body=b"a=1")
    request.content_type = ""
    with pytest.raises(UnclearRequestError):
        IsMonth(3).parse_variables(request.environ)
    request = Request.blank("/", method="POST")
    assert IsMonth(3).parse_variables(request.environ)["post"] == {}


def test_changing_the_variables_changes_nothing_in_the_request():
    request = Request.blank("/?a=1", POST={"b": "2"}, content_type="multipart/form-data")
    variables = IsMonth(3).parse_variables(request.environ)
    variables["get"]["a"] = variables["post"]["b"] = "3"
    assert (request.GET, request.POST) == ({"a": "1"}, {"b": "2"})


def test_length_as_a_number():
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": 3,
        "wsgi.input": io.BytesIO(b"a=1 and more"),
    }
    assert IsMonth(3).parse_variables(environ)["post"] == {"a": "1"}
