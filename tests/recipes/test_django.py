"""Django, behind the middleware and with its own login."""

from importlib import import_module

import pytest

pytest.importorskip("django")
# It sets Django up, without which models cannot be imported.
import_module("django_site.wsgi")

from django.contrib.auth.models import AnonymousUser, User  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django_site.authorization import AuthorizationMiddleware  # noqa: E402


def test_user_has_the_permissions_of_the_groups(django_settings, django_users, proxy):
    user = User.objects.get(username="rosa")
    with proxy.counted(2):
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


def test_error_of_another_kind_passes():
    middleware = AuthorizationMiddleware(lambda request: HttpResponse("Welcome"))
    request = RequestFactory().get("/")
    assert middleware.process_exception(request, ZeroDivisionError()) is None
    assert middleware(request).content == b"Welcome"
