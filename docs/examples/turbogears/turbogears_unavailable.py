"""What a request gets where a source fails, with TurboGears' own authentication."""

import logging
from typing import Any

from tg.appwrappers.base import ApplicationWrapper
from tg.appwrappers.identity import IdentityApplicationWrapper
from tg.configurator.base import Configurator
from tg.configurator.components.auth import SimpleAuthenticationConfigurationComponent
from webob.exc import HTTPServiceUnavailable, HTTPUnauthorized

from repoze.what.adapters import SourceError

log = logging.getLogger(__name__)

ABOUT_THE_USER = (
    "repoze.who.identity",
    "REMOTE_USER",
    "REMOTE_USER_TOKENS",
    "REMOTE_USER_DATA",
    "AUTH_TYPE",
)


class AvailabilityWrapper(ApplicationWrapper):
    """Takes the place of TurboGears' wrapper, which it has look up the user."""

    def __init__(self, next_handler: Any, config: dict[str, Any]) -> None:
        super().__init__(next_handler, config)
        self.look_up = IdentityApplicationWrapper(lambda *_: None, config)
        self.refuse = {"refuse": True, "anonymous": False}[config["on_unavailable"]]

    def __call__(self, controller: Any, environ: dict[str, Any], context: Any) -> Any:
        """Answer the request."""
        try:
            self.look_up(controller, environ, context)
        except SourceError as error:
            log.warning("Groups and permissions cannot be looked up: %r", error)
            environ["repoze.what.unavailable"] = error
        else:
            return self.next_handler(controller, environ, context)
        if self.refuse:
            return service_unavailable()
        for name in ABOUT_THE_USER:
            environ.pop(name, None)
        environ["repoze.what.credentials"] = {}
        context.request.identity = None
        response = self.next_handler(controller, environ, context)
        # repoze.who would delete the user's cookie, and show a login form that cannot help.
        return service_unavailable() if response.status_int == HTTPUnauthorized.code else response


def service_unavailable() -> HTTPServiceUnavailable:
    """Return what is answered in place of the page."""
    return HTTPServiceUnavailable(retry_after=10, cache_control="no-store")


class Authentication(SimpleAuthenticationConfigurationComponent):
    """TurboGears' component ``sa_auth``, with that wrapper."""

    def on_bind(self, configurator: Configurator) -> None:
        """Exchange the wrapper, once TurboGears has registered its own."""
        super().on_bind(configurator)
        configurator.replace_application_wrapper(IdentityApplicationWrapper, AvailabilityWrapper)
