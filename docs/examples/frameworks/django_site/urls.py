"""The pages."""

from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpResponse
from django.urls import path
from django_site.authorization import require

from repoze.what.predicates import has_permission


def welcome(request):
    return HttpResponse("Welcome")


@require(has_permission("publish"))
def publish(request):
    return HttpResponse("Publish away")


@login_required
@permission_required("newspaper.print", raise_exception=True)
def start_printing(request):
    return HttpResponse("The press is running")


urlpatterns = [
    path("", welcome, name="welcome"),
    path("publish", publish),
    path("print", start_printing),
    path("login", LoginView.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
]
