"""Django, behind the middleware and with its own login."""

from importlib import import_module

import pytest
import webtest

pytest.importorskip("django")
# It sets Django up, without which models cannot be imported.
import_module("django_site.wsgi")

from asgiref.sync import async_to_sync  # noqa: E402
from django.contrib.auth.models import AnonymousUser, User  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import AsyncClient, RequestFactory  # noqa: E402
from django_site.authorization import AuthorizationMiddleware, Unavailable, require  # noqa: E402

from repoze.what.adapters import SourceUnavailable  # noqa: E402
from repoze.what.predicates import NotAuthorizedError, has_permission  # noqa: E402


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


def render(template, user):
    request = RequestFactory().get("/")
    request.user = user
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
    assert middleware(RequestFactory().get("/")).content.decode() == PAGES[page]
    proxy.lose_server()
    response = middleware(RequestFactory().get("/"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")


def test_what_a_view_asks(django_settings):
    """It is not for the middlewares in between to make another answer of it."""
    middleware = AuthorizationMiddleware(lambda request: None)
    with pytest.raises(Unavailable):
        middleware.process_exception(RequestFactory().get("/"), SourceUnavailable("gone"))


def test_error_of_another_kind_passes():
    middleware = AuthorizationMiddleware(lambda request: HttpResponse("Welcome"))
    request = RequestFactory().get("/")
    assert middleware.process_exception(request, ZeroDivisionError()) is None
    assert middleware(request).content == b"Welcome"


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
    browser, proxy, groups, questions_of_a_request
):
    browser.get("/publish", status=401)
    log_in(browser.get("/login"), "ben", "notebook")
    browser.get("/publish", status=403)
    groups.include_item("editors", "ben")
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
            client.force_login(User.objects.get(username=user), backend)
        return async_to_sync(client.get)(path).status_code

    backend = "django.contrib.auth.backends.ModelBackend"
    assert status() == status_for_visitor
    assert status("rosa") == 200
    assert status("ben") == 403


def test_another_user_is_logged_in_meanwhile(django_settings, django_users):
    """What a predicate is told is of the user of that moment."""
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="rosa")

    @require(has_permission("publish"))
    def publish(request):
        return HttpResponse("Publish away")

    assert publish(request).status_code == 200
    for other in (User.objects.get(username="ben"), AnonymousUser()):
        request.user = other
        with pytest.raises(NotAuthorizedError):
            publish(request)
