"""Predicates that are not TurboGears' own, for ``@require`` and ``allow_only``."""

import ipaddress

import tg.predicates
from webob.exc import HTTPBadRequest

import repoze.what.predicates


class allowed_by(tg.predicates.Predicate):
    """A predicate of repoze.what, whose refusal TurboGears understands."""

    message = "%(refusal)s"

    def __init__(self, predicate, msg=None):
        super().__init__(msg)
        # What has a "predicate" is more than one to TurboGears' allow_only.
        self.wrapped = predicate

    def evaluate(self, environ, credentials):
        try:
            self.wrapped.check_authorization(environ)
        except repoze.what.predicates.UnclearRequestError as refusal:
            # A refusal would be a permission inside of TurboGears' Not.
            raise HTTPBadRequest(str(refusal)) from refusal
        except repoze.what.predicates.PredicateError as refusal:
            self.unmet(refusal=refusal)


class from_network(repoze.what.predicates.Predicate):
    """A predicate of an application's own, written for repoze.what."""

    message = "The request must come from %(network)s"

    def __init__(self, network, *, msg=None):
        super().__init__(msg)
        self.network = ipaddress.ip_network(network)

    def evaluate(self, environ, credentials):
        if ipaddress.ip_address(environ["REMOTE_ADDR"]) not in self.network:
            self.unmet()
