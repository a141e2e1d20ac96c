"""The same application, its own authentication off, behind the middleware of repoze.what."""

from authentication import BASIC_AUTHENTICATION
from newspaper import USERS, RootController
from tg import FullStackApplicationConfigurator
from tg.appwrappers.base import ApplicationWrapper

from repoze.what.middleware import setup_auth


class Identity(ApplicationWrapper):
    """Lays down ``request.identity``, which controllers and templates look at."""

    def __call__(self, controller, environ, context):
        identity = environ.get("repoze.who.identity")
        if identity is not None:
            identity["user"] = USERS.get(identity["repoze.who.userid"])
        context.request.identity = identity
        return self.next_handler(controller, environ, context)


def make_site(groups, permissions, **authentication):
    configurator = FullStackApplicationConfigurator()
    configurator.update_blueprint({"root_controller": RootController()})
    configurator.register_application_wrapper(Identity)
    return setup_auth(
        configurator.make_wsgi_app(),
        {"redis": groups},
        {"redis": permissions},
        on_unavailable="refuse",
        **(authentication or BASIC_AUTHENTICATION),
    )
