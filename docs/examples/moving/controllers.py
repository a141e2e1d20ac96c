"""Controllers that are made for each request, with protected actions."""

from protectors import ActionProtector, ControllerProtector
from webob import Response

from repoze.what.predicates import has_permission, in_group, not_anonymous


class Controller:
    def __init__(self, request):
        self.request = request


class Articles(Controller):
    def read(self):
        return Response("An article")

    @ActionProtector(has_permission("publish"))
    def publish(self):
        return Response("Publish away")


@ControllerProtector(not_anonymous())
class Account(Controller):
    def show(self):
        # What no ActionProtector protects has to say itself that no cache may show it to others.
        return Response("Your account", cache_control="private")

    @ActionProtector(in_group("editors"))
    def allowance(self):
        return Response("Your allowance")
