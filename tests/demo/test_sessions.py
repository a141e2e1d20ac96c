import pytest
from webob import Request

from repoze.what.plugins.redis.demo.sessions import is_from_elsewhere, local_path

HOST = "http://localhost:8080"


@pytest.mark.parametrize(
    ("came_from", "path"),
    [
        ("/", "/"),
        ("/payroll?month=5&x=%2F#top", "/payroll?month=5&x=%2F#top"),
        (f"{HOST}/payroll", "/payroll"),
        (f"{HOST}/", "/"),
        ("/a//b", "/a//b"),
        *(
            (elsewhere, "/")
            for elsewhere in (
                "",
                "payroll",
                "//evil.example/",
                "///evil.example/",
                "/\\evil.example/",
                "\\\\evil.example/",
                "/\t/evil.example/",
                "/\n/evil.example",
                "/payroll\r\nSet-Cookie: a=b",
                "/payroll\n",
                " //evil.example",
                "/pay roll",
                "/\x00",
                "/\x7f",
                "/日本",
                "http://evil.example/",
                "https://localhost:8080/payroll",
                "javascript:alert(1)",
                "data:text/html,x",
                HOST,
                f"{HOST}@evil.example/",
                f"{HOST}.evil.example/",
                f"{HOST}//evil.example/",
                f"{HOST}/\\evil.example/",
                f"{HOST}{HOST}//evil.example",
            )
        ),
    ],
)
def test_after_the_login_one_stays_on_the_site(came_from, path):
    assert local_path(Request.blank("/", base_url=HOST), came_from) == path


@pytest.mark.parametrize(
    ("origin", "is_elsewhere"),
    [
        (None, False),
        (HOST, False),
        ("https://localhost:8080", False),
        ("http://localhost", True),
        ("http://localhost:8081", True),
        ("http://evil.example", True),
        ("null", True),
        ("", True),
        ("http://[", True),
    ],
)
def test_a_form_of_another_site_is_told_by_its_origin(origin, is_elsewhere):
    headers = {} if origin is None else {"Origin": origin}
    assert is_from_elsewhere(Request.blank("/", base_url=HOST, headers=headers)) == is_elsewhere
