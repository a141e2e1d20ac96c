"""Who acts: in a block, and in each request behind `setup_auth`, whichever way it is served."""

import threading
from contextvars import ContextVar
from wsgiref.util import FileWrapper

import pytest
import webtest
from repoze.who.plugins.basicauth import BasicAuthPlugin

from repoze.what.acting import ActAsUser, Acting, acting, acting_as
from repoze.what.middleware import setup_auth

NOBODY = Acting()


def who():
    return (acting().by or "nobody").encode()


def protected(app, **options):
    return setup_auth(app, skip_authentication=True, **options)


def environment(user=None, **more):
    environ = webtest.TestRequest.blank("/").environ | more
    return environ if user is None else {**environ, "REMOTE_USER": user}


def start_response(status, headers, exc_info=None):
    pass


def ask(app, user=None, **more):
    return app(environment(user, **more), start_response)


def test_nobody_acts_outside():
    assert acting() == NOBODY


def test_blocks():
    with acting_as("tomas", note="ticket 12"):
        assert acting() == Acting("tomas", "ticket 12")
        with acting_as(b"r\xff"):
            assert acting() == Acting("r\udcff")
        with acting_as(7, "x"):
            assert acting() == Acting("7", "x")
            with acting_as(note="y"):
                assert acting() == Acting("7", "y")
        assert acting() == Acting("tomas", "ticket 12")
    assert acting() == NOBODY
    with acting_as(note="z"):
        assert acting() == Acting(None, "z")


def test_block_that_fails_ends():
    with pytest.raises(KeyError), acting_as("tomas"):
        raise KeyError
    assert acting() == NOBODY


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((True,), TypeError),
        ((1.5,), TypeError),
        (("tomas", 12), TypeError),
        (("",), ValueError),
        ((b"",), ValueError),
        (("tomas", ""), ValueError),
    ],
)
def test_nonsense(arguments, error):
    with pytest.raises(error), acting_as(*arguments):
        pass
    assert acting() == NOBODY


def test_thread_knows_nothing_of_it():
    found = []
    with acting_as("tomas"):
        thread = threading.Thread(target=lambda: found.append(acting()))
        thread.start()
        thread.join()
    assert found == [NOBODY]


def test_user_of_a_request_acts():
    def app(environ, start):
        start("200 OK", [])
        return [who()]

    site = protected(app)
    assert ask(site, "rosa") == [b"rosa"]
    assert ask(site) == [b"nobody"]
    with acting_as("the server", note="of everybody"):
        assert ask(site, "rosa") == [b"rosa"]
        assert ask(site) == [b"nobody"]
        assert acting().by == "the server"


def test_note_is_not_that_of_the_server():
    def app(environ, start):
        start("200 OK", [])
        return [repr(acting().note).encode()]

    with acting_as("the server", note="of everybody"):
        assert ask(protected(app), "rosa") == [b"None"]


def test_user_who_logs_in():
    class Passwords:
        def authenticate(self, environ, identity):
            return identity["login"]

    def app(environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        yield who()

    basic = BasicAuthPlugin("site")
    site = setup_auth(
        app, identifiers=[("basic", basic)], authenticators=[("passwords", Passwords())]
    )
    browser = webtest.TestApp(site)
    assert browser.get("/").text == "nobody"
    browser.authorization = ("Basic", ("rosa", "x"))
    assert browser.get("/").text == "rosa"


def test_user_behind_a_proxy_and_another_key():
    def app(environ, start):
        start("200 OK", [])
        return [who()]

    site = setup_auth(app, remote_user="X-User", trusted_proxies="127.0.0.1", remote_user_key="WHO")
    asked = {"HTTP_X_USER": "ben", "REMOTE_ADDR": "127.0.0.1"}
    assert ask(site, **asked) == [b"ben"]


@pytest.mark.parametrize("user", ["", 7, b"r\xff", "r\xff"])
def test_any_user_id(user):
    def app(environ, start):
        return [acting().by]

    expected = {"": None, 7: "7", b"r\xff": "r\udcff"}.get(user, user)
    assert ask(ActAsUser(app), user) == [expected]


@pytest.mark.parametrize("starts", ["before", "with the first chunk"])
def test_interleaved_chunks_of_two_requests_on_one_thread(starts):
    closed = []

    def chunks(start):
        try:
            if start:
                start("200 OK", [])
            yield who()
            with acting_as(note="mine"):
                yield who() + acting().note.encode()
                yield who() + acting().note.encode()
            yield repr(acting().note).encode()
        finally:
            closed.append(who())

    def app(environ, start):
        if starts == "before":
            start("200 OK", [])
            return chunks(None)
        return chunks(start)

    site = protected(app)
    rosa, ben, visitor = ask(site, "rosa"), ask(site, "ben"), ask(site)
    requests = {b"rosa": rosa, b"ben": ben, b"nobody": visitor}
    for user, request in requests.items():
        assert next(request) == user
    for _ in range(2):
        for user, request in requests.items():
            assert next(request) == user + b"mine"
    assert acting() == NOBODY
    assert next(rosa) == b"None"
    for request in requests.values():
        request.close()
    assert closed == list(requests)


def test_iterable_that_is_none_of_its_own_iterator():
    class Answer:
        def __iter__(self):
            self.by = who()
            yield self.by
            yield who()

        def close(self):
            closed.append(who())

    closed = []

    def app(environ, start):
        start("200 OK", [])
        return Answer()

    answer = ask(protected(app), "rosa")
    assert list(answer) == [b"rosa", b"rosa"]
    answer.close()
    assert closed == [b"rosa"]


def test_answer_without_a_chunk_or_a_close():
    def app(environ, start):
        start("200 OK", [])
        return iter(())

    answer = ask(protected(app), "rosa")
    assert list(answer) == []
    answer.close()


def test_generator_without_a_chunk():
    def app(environ, start):
        start("200 OK", [])
        return
        yield

    assert list(ask(protected(app), "rosa")) == []


def test_failure_at_the_first_chunk_closes():
    closed = []

    class Answer:
        def __iter__(self):
            return self

        def __next__(self):
            raise KeyError

        def close(self):
            closed.append(who())

    with pytest.raises(KeyError):
        ask(protected(lambda environ, start: Answer()), "rosa")
    assert closed == [b"rosa"]


def test_file_stays_one(tmp_path):
    path = tmp_path / "page"
    path.write_bytes(b"page")

    def app(environ, start):
        start("200 OK", [])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    answer = ask(protected(app), "rosa", **{"wsgi.file_wrapper": FileWrapper})
    assert isinstance(answer, FileWrapper)
    answer.close()


def test_variable_of_a_request_ends_with_it():
    variable = ContextVar("variable", default="unset")

    def app(environ, start):
        start("200 OK", [])
        before = variable.get()
        variable.set("set")
        yield before.encode()
        yield variable.get().encode()

    for _ in range(2):
        assert list(ask(protected(app), "rosa")) == [b"unset", b"set"]
    assert variable.get() == "unset"


def test_threads_of_a_server():
    barrier = threading.Barrier(8)

    def app(environ, start):
        start("200 OK", [])
        for _ in range(20):
            barrier.wait()
            yield who()

    site = protected(app)
    found = {}

    def serve(user):
        found[user] = set(ask(site, user))

    threads = [threading.Thread(target=serve, args=(f"user {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {f"user {n}": {f"user {n}".encode()} for n in range(8)}


def test_one_request_served_by_several_threads():
    def app(environ, start):
        start("200 OK", [])
        with acting_as(note="kept"):
            yield who()
            yield acting().note.encode()
        yield who()

    answer, found = ask(protected(app), "rosa"), []
    for _ in range(3):
        thread = threading.Thread(target=lambda: found.append(next(answer)))
        thread.start()
        thread.join()
    assert found == [b"rosa", b"kept", b"rosa"]
