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
        return Response("Your account")

    @ActionProtector(in_group("editors"))
    def allowance(self):
        return Response("Your allowance")
