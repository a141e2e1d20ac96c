import http.client
import socket
import threading

import pytest
import servers

from repoze.what.plugins.redis.demo import DemoError
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


def test_a_body_longer_than_any_form_is_refused():
    with serving(hello, 0) as port:
        browser = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        browser.request("POST", "/", b"x" * 100_000)
        assert browser.getresponse().status == 413
        browser.close()
