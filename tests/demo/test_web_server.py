import http.client
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from types import SimpleNamespace

import pytest
import waitress.server
from harness import servers

from repoze.what.plugins.redis.demo import DemoError, web_server
from repoze.what.plugins.redis.demo.web_server import LOOPBACK, serving


def hello(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def test_it_serves_on_a_free_port_and_stops_though_a_browser_holds_a_connection():
    threads = set(threading.enumerate())
    with serving(hello, 0) as port:
        browser = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        browser.request("GET", "/")
        assert browser.getresponse().read() == b"hello"
    # Waitress takes its threads for ended a moment before they are.
    servers.wait_until(lambda: threads.issuperset(threading.enumerate()))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((LOOPBACK, port), timeout=60)
    browser.close()


def test_it_serves_on_the_port_that_is_asked_for():
    port = servers.free_port()
    with serving(hello, port) as found:
        assert found == port


def test_a_port_in_use_is_reported():
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(DemoError, match=f"Port {port} cannot be had: .+"), serving(hello, port):
            pass


def ask(port):
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=10)) as browser:
        browser.request("GET", "/")
        return browser.getresponse().read()


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["nothing", "head", "body", "no other request"],
)
def test_requests_that_are_never_sent_to_their_end_do_not_hold_the_site(half):
    with serving(hello, 0) as port, ExitStack() as connections:
        for _ in range(3):
            for _ in range(60):
                connection = socket.create_connection((LOOPBACK, port), timeout=10)
                connections.enter_context(connection)
                connection.sendall(half)
            assert ask(port) == b"hello"


def test_clients_that_never_read_do_not_hold_the_site(monkeypatch):
    """Also after waitress' own time-out, which marks them as closed."""
    calls = []

    def much(environ, start_response):
        calls.append(environ["PATH_INFO"])
        body = b"x" * (5 if environ["PATH_INFO"] == "/few" else 4_000_000)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    passed = 0
    monkeypatch.setattr(web_server, "_MOST_IDLE", 10)
    monkeypatch.setattr(web_server, "_MOST_CONNECTIONS", 20)
    monkeypatch.setattr(waitress.server, "time", SimpleNamespace(time=lambda: time.time() + passed))
    with serving(much, 0) as port, ExitStack() as connections:

        def ask_and_never_read():
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect((LOOPBACK, port))
            connection.sendall(b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def is_answered():
            with suppress(TimeoutError), socket.create_connection((LOOPBACK, port), 2) as browser:
                browser.sendall(b"GET /few HTTP/1.0\r\n\r\n")
                return browser.recv(100).startswith(b"HTTP/1.0 200 OK")
            return False

        for number in (8, 12, 12):
            asked = len(calls)
            for _ in range(number):
                ask_and_never_read()
            servers.wait_until(lambda asked=asked: len(calls) > asked)
            servers.wait_until(is_answered)
            passed += 1000


def test_a_request_that_is_sent_slowly_is_answered():
    with (
        serving(hello, 0) as port,
        ExitStack() as connections,
        socket.create_connection((LOOPBACK, port), timeout=10) as browser,
    ):
        browser.sendall(b"GET / HTTP/1.0\r\n")
        for _ in range(40):
            connections.enter_context(socket.create_connection((LOOPBACK, port), timeout=10))
        assert ask(port) == b"hello"
        browser.sendall(b"\r\n")
        assert browser.recv(100).startswith(b"HTTP/1.0 200 OK")


def test_a_body_longer_than_any_form_is_refused():
    with serving(hello, 0) as port:
        browser = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        browser.request("POST", "/", b"x" * 100_000)
        assert browser.getresponse().status == 413
        browser.close()
