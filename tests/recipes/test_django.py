"""Django, behind the middleware and with its own login."""

import asyncio
from importlib import import_module

import pytest
import webtest

pytest.importorskip("django")
# It sets Django up, without which models cannot be imported.
import_module("django_site.wsgi")

from asgiref.sync import async_to_sync  # noqa: E402
from django.contrib.auth import login  # noqa: E402
from django.contrib.auth.middleware import AuthenticationMiddleware  # noqa: E402
from django.contrib.auth.models import AnonymousUser, User  # noqa: E402
from django.contrib.sessions.backends.base import SessionBase  # noqa: E402
from django.contrib.sessions.middleware import SessionMiddleware  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.forms import modelform_factory  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import AsyncClient, RequestFactory  # noqa: E402
from django.views.decorators.cache import cache_control, cache_page  # noqa: E402
from django_site.authorization import (  # noqa: E402
    AuthorizationMiddleware,
    RedisBackend,
    Unavailable,
    require,
    user_id_of,
)

from repoze.what.adapters import SourceError, SourceUnavailable  # noqa: E402
from repoze.what.middleware import setup_auth  # noqa: E402
from repoze.what.predicates import NotAuthorizedError, has_permission  # noqa: E402

BACKEND = "django.contrib.auth.backends.ModelBackend"


def test_user_has_the_permissions_of_the_groups(
    django_settings, django_users, proxy, questions_of_a_request
):
    user = User.objects.get(username="rosa")
    with proxy.counted(questions_of_a_request):
        assert user.has_perm("newspaper.print")
        assert not user.has_perm("newspaper.sell")
        assert user.has_perms(["newspaper.print", "publish"])
        assert user.has_module_perms("newspaper")
        assert not user.has_module_perms("news")
        assert user.get_group_permissions() == {"newspaper.print", "publish"}


def test_users_who_are_not_asked_for(django_settings, django_users, proxy):
    rosa = User.objects.get(username="rosa")
    with proxy.counted(0):
        assert not AnonymousUser().has_perm("newspaper.print")
        assert not AnonymousUser().has_module_perms("newspaper")
        assert not rosa.has_perm("newspaper.print", obj=object())
        assert not User(username="rosa", is_active=False).has_perm("newspaper.print")
        assert User(username="rosa", is_superuser=True).has_perm("newspaper.sell")


def request_of(user=None):
    request = RequestFactory().get("/")
    request.session, request.user = SessionBase(), user or AnonymousUser()
    return request


def render(template, user):
    request = request_of(user)
    return engines["django"].from_string(template).render({}, request)


PAGES = {
    "{{ perms.newspaper.print }} {{ perms.newspaper.sell }}": "True False",
    "{% if perms.newspaper.print and user.is_active %}yes{% else %}no{% endif %}": "yes",
    '{% if "newspaper.sell" in perms %}yes{% else %}no{% endif %}': "no",
    '{% if not "newspaper.print" in perms %}yes{% else %}no{% endif %}': "no",
}


@pytest.mark.parametrize("page", PAGES)
def test_templates(django_settings, django_users, proxy, page):
    def view(request):
        return HttpResponse(render(page, User.objects.get(username="rosa")))

    middleware = AuthorizationMiddleware(view)
    assert middleware(request_of()).content.decode() == PAGES[page]
    proxy.lose_server()
    response = middleware(request_of())
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")


@pytest.mark.parametrize(
    "error", [SourceUnavailable("gone"), ExceptionGroup("of tasks", [SourceUnavailable("gone")])]
)
def test_what_a_view_asks(django_settings, error):
    """It is not for the middlewares in between to make another answer of it."""
    middleware = AuthorizationMiddleware(lambda request: None)
    with pytest.raises(Unavailable):
        middleware.process_exception(request_of(), error)


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), ExceptionGroup("of tasks", [SourceUnavailable("gone"), OSError()])],
)
def test_error_of_another_kind_passes(error):
    middleware = AuthorizationMiddleware(lambda request: HttpResponse("Welcome"))
    request = request_of()
    assert middleware.process_exception(request, error) is None
    assert middleware(request).content == b"Welcome"


def test_tasks_that_ask_in_an_outage(django_settings, django_users, proxy):
    """A TaskGroup makes a group of what they raise."""
    rosa = User.objects.get(username="rosa")

    def site(other_task):
        async def view():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(rosa.ahas_perm("newspaper.print"))
                tasks.create_task(other_task())
            return HttpResponse("Welcome")

        return AuthorizationMiddleware(lambda request: async_to_sync(view)())

    async def ask():
        await rosa.ahas_perm("publish")

    async def fail():
        # When the other has failed, too.
        try:
            await asyncio.sleep(60)
        finally:
            raise ZeroDivisionError

    proxy.lose_server()
    assert site(ask)(request_of()).status_code == 503
    # Django makes a 500 of it, for it is an Exception.
    with pytest.raises(ExceptionGroup) as raised:
        site(fail)(request_of())
    assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError]


def test_stream_that_asks_in_an_outage(django_settings, django_users, proxy):
    """What is no Exception, servers do not expect of it, and keep the connection for ever."""
    rosa = User.objects.get(username="rosa")

    def pages():
        yield b"first"
        yield str(rosa.has_perm("newspaper.print")).encode()

    async def asynchronous_pages():
        yield b"first"
        yield str(await rosa.ahas_perm("newspaper.print")).encode()

    async def read(response):
        return [part async for part in response]

    def streamed(content):
        return AuthorizationMiddleware(lambda _: StreamingHttpResponse(content))(request_of())

    assert b"".join(streamed(pages())) == b"firstTrue"
    assert async_to_sync(read)(streamed(asynchronous_pages())) == [b"first", b"True"]
    proxy.lose_server()
    del rosa.credentials_in_redis
    content = iter(streamed(pages()))
    assert next(content) == b"first"
    with pytest.raises(SourceError):
        next(content)

    async def pages_of_tasks():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rosa.ahas_perm("newspaper.print"))
        yield b"never"

    for made in (asynchronous_pages, pages_of_tasks):
        with pytest.raises((SourceError, ExceptionGroup)):
            async_to_sync(read)(streamed(made()))


def test_asynchronous_questions_have_the_same_answers(
    django_settings, django_users, proxy, questions_of_a_request
):
    async def answers(user):
        return [
            await user.ahas_perm("newspaper.print"),
            await user.ahas_perm("newspaper.sell"),
            await user.ahas_perms(["newspaper.print", "publish"]),
            await user.ahas_module_perms("newspaper"),
            await user.ahas_module_perms("news"),
            await user.aget_group_permissions(),
            await user.aget_all_permissions(),
        ]

    rosa, ben = (User.objects.get(username=name) for name in ("rosa", "ben"))
    permissions = {"newspaper.print", "publish"}
    with proxy.counted(questions_of_a_request):
        found = async_to_sync(answers)(rosa)
    assert found == [True, False, True, True, False, permissions, permissions]
    found = async_to_sync(answers)(ben)
    assert found == [False] * 5 + [set(), set()]


@pytest.fixture
def browser(django_settings, django_users):
    """A browser on the site whose ``wsgi.py`` is Django's."""
    return webtest.TestApp(get_wsgi_application())


def log_in(form_page, user, password):
    form_page.form["username"], form_page.form["password"] = user, password
    return form_page.form.submit()


def test_login_and_logout(browser):
    form_page = browser.get("/print", status=302).follow(status=200)
    assert "errorlist" in log_in(form_page, "rosa", "wrong")
    page = log_in(form_page, "rosa", "headline").follow()
    assert page.text == "The press is running"
    cookie = browser.cookies["sessionid"]
    browser.post("/logout", {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}, status=302)
    # Nor does a cookie that somebody has kept outlive the logout.
    browser.set_cookie("sessionid", cookie)
    browser.get("/print", status=302)


def test_predicates_know_who_has_logged_in_with_django(
    browser, proxy, groups, django_user_id, questions_of_a_request
):
    browser.get("/publish", status=401)
    log_in(browser.get("/login"), "ben", "notebook")
    browser.get("/publish", status=403)
    groups.include_item("editors", django_user_id("ben"))
    with proxy.counted(questions_of_a_request):
        browser.get("/publish", status=200)
    browser.get("/print", status=200)


@pytest.mark.parametrize(("path", "status_for_visitor"), [("/publish", 401), ("/print", 302)])
def test_asgi(django_settings, django_users, monkeypatch, path, status_for_visitor):
    # The name that this client uses.
    monkeypatch.setattr(django_settings, "ALLOWED_HOSTS", ["testserver"])

    def status(user=None):
        client = AsyncClient()
        if user:
            client.force_login(User.objects.get(username=user), BACKEND)
        return async_to_sync(client.get)(path).status_code

    assert status() == status_for_visitor
    assert status("rosa") == 200
    assert status("ben") == 403


@require(has_permission("publish"))
def publish(request):
    return HttpResponse("Publish away")


def test_another_user_is_logged_in_meanwhile(django_settings, django_users):
    """What a predicate is told is of the user of that moment."""
    request = request_of(User.objects.get(username="rosa"))
    assert publish(request).status_code == 200
    for other in (User.objects.get(username="ben"), AnonymousUser()):
        request.user = other
        with pytest.raises(NotAuthorizedError):
            publish(request)


def may_publish(user):
    """Return whether the user may, asked in each way."""
    try:
        publish(request_of(user))
    except NotAuthorizedError:
        is_let_in = False
    else:
        is_let_in = True
    may_print = RedisBackend().has_perm(user, "newspaper.print")
    assert may_print is (render("{{ perms.newspaper.print }}", user) == "True")
    assert is_let_in is may_print
    return is_let_in


@pytest.fixture
def rosa(django_settings, django_users):
    with transaction.atomic():
        yield User.objects.get(username="rosa")
        transaction.set_rollback(True)


@pytest.mark.parametrize("has_been_asked", [True, False])
def test_name_that_a_form_writes(rosa, groups, django_user_id, has_been_asked):
    """A form writes what was posted onto its user before it knows whether that may be."""
    groups.exclude_item("editors", django_user_id("rosa"))
    groups.include_item("editors", django_user_id("ben"))
    groups.include_item("editors", "ben")
    if has_been_asked:
        assert not may_publish(rosa)
    form = modelform_factory(User, fields=["username"])({"username": "ben"}, instance=rosa)
    assert not form.is_valid()
    assert rosa.username == "ben"
    assert not may_publish(rosa)


def test_renamed_user(rosa):
    """Groups know the user, and not whoever is called so by then."""
    assert may_publish(rosa)
    rosa.username = "rosamund"
    rosa.save()
    assert may_publish(rosa)
    assert may_publish(User.objects.get(username="rosamund"))
    assert not may_publish(User.objects.create_user("rosa"))


def test_user_who_becomes_another(rosa):
    assert may_publish(rosa)
    rosa.pk, rosa._state.adding, rosa.username = None, True, "intern"
    assert not may_publish(rosa)
    rosa.save()
    assert not may_publish(rosa)
    rosa.delete()
    assert not may_publish(rosa)


def test_user_who_is_not_there_yet(django_settings, django_users, groups):
    groups.include_items("editors", ["kim", "None", "django:None"])
    assert not may_publish(User(username="kim"))


def test_user_who_is_put_out_of_action(rosa):
    assert may_publish(rosa)
    rosa.is_active = False
    assert not may_publish(rosa)


@pytest.fixture
def caching(django_settings, monkeypatch):
    """The settings of a site whose pages Django caches."""
    middlewares = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *django_settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    monkeypatch.setattr(django_settings, "MIDDLEWARE", middlewares)
    yield
    cache.clear()


def test_cache_of_a_site_behind_a_proxy(caching, groups, permissions):
    site = setup_auth(
        get_wsgi_application(),
        {"redis": groups},
        {"redis": permissions},
        remote_user="X-Forwarded-User",
        trusted_proxies="127.0.0.1",
    )
    browser = webtest.TestApp(site, extra_environ={"REMOTE_ADDR": "127.0.0.1"})
    for user, status in [("ben", 403), ("rosa", 200), ("ben", 403)]:
        browser.get("/publish", headers={"X-Forwarded-User": user}, status=status)
    browser.get("/publish", status=401)
    groups.exclude_item("editors", "rosa")
    browser.get("/publish", headers={"X-Forwarded-User": "rosa"}, status=403)


@pytest.mark.parametrize("path", ["/publish", "/print"])
def test_cache_of_a_site_with_logins(caching, django_users, groups, django_user_id, path):
    browser = webtest.TestApp(get_wsgi_application())
    log_in(browser.get("/login"), "rosa", "headline")
    browser.get(path, status=200)
    groups.exclude_item("editors", django_user_id("rosa"))
    browser.get(path, status=403)
    # What is for everybody may be cached as ever.
    assert "private" not in browser.get("/", status=200).headers["Cache-Control"]


def test_view_that_is_cached_by_its_decorator(django_settings, groups, permissions):
    page = cache_page(60)(publish)
    for user, is_permitted in [("rosa", True), ("ben", False)]:
        request = request_of()
        request.META["HTTP_HOST"] = "localhost"
        groups_of_user, permitted = groups.find_with_permissions(
            {"repoze.what.userid": user}, permissions
        )
        request.META["repoze.what.credentials"] = {
            "repoze.what.userid": user,
            "groups": groups_of_user,
            "permissions": permitted,
        }
        if is_permitted:
            assert page(request).status_code == 200
        else:
            with pytest.raises(NotAuthorizedError):
                page(request)
    cache.clear()


def test_stream_that_asks(django_settings, django_users):
    """It asks when the answer has begun, and what a cache may do with it has been said."""

    def parts():
        yield str(request.user.has_perm("newspaper.print")).encode()

    @cache_control(max_age=60)
    def view(_):
        return StreamingHttpResponse(parts())

    request = RequestFactory().get("/")
    client_session = import_module("django.contrib.sessions.backends.db").SessionStore()
    login_request = request_of()
    login_request.session = client_session
    login(login_request, User.objects.get(username="rosa"), BACKEND)
    client_session.save()
    request.COOKIES["sessionid"] = client_session.session_key
    site = SessionMiddleware(AuthenticationMiddleware(AuthorizationMiddleware(view)))
    response = site(request)
    assert set(response["Cache-Control"].split(", ")) == {"max-age=60", "private"}
    assert response["Vary"] == "Cookie"
    assert b"".join(response) == b"True"


def test_users_with_keys_of_bytes():
    """From some databases they come as a memoryview, whose text is the place where it lies."""

    class Keyholder(models.Model):
        key = models.BinaryField(primary_key=True)

        class Meta:
            app_label = "django_site"

    ids = [user_id_of(Keyholder(key=memoryview(key))) for key in (b"1", b"2", b"1")]
    assert ids[0] == ids[2] != ids[1]
