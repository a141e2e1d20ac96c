"""The page that a load balancer asks whether this process can do its work."""

from webob import Response
from webob.dec import wsgify

from repoze.what.adapters import SourceError


def make_health_check(groups, permissions):
    @wsgify
    def health_check(request):
        try:
            groups.find_sections({"repoze.what.userid": "nobody"})
            permissions.find_sections("nobody")
        except SourceError:
            return Response("Groups and permissions cannot be looked up", status=503)
        return Response("All is well")

    return health_check
