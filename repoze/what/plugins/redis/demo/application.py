"""The pages and forms of the newspaper's site, as a WSGI application."""

import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from webob import Request, Response
from webob.exc import (
    HTTPBadRequest,
    HTTPConflict,
    HTTPError,
    HTTPForbidden,
    HTTPMethodNotAllowed,
    HTTPNotFound,
    HTTPSeeOther,
    HTTPServiceUnavailable,
)

from repoze.what.adapters import (
    BaseSourceAdapter,
    ItemNotPresentError,
    ItemPresentError,
    NonExistingSectionError,
    SourceError,
)
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter

from .pages import ADMINISTRATION, PAGES, Page
from .people import PASSWORDS
from .rendering import is_unavailable, quoted, render, render_problem
from .sessions import (
    LOGIN_PATH,
    has_form_token,
    is_from_elsewhere,
    local_path,
    log_in,
    log_out,
)

_LOGGER = logging.getLogger(__name__)

_PROTECTED = {page.path: page for page in PAGES}


class Application:
    """The application that ``setup_auth`` protects; `Site` says what its arguments are."""

    def __init__(
        self,
        groups: RedisGroupAdapter,
        permissions: RedisPermissionAdapter,
        command_line: str | None,
    ) -> None:
        self._groups = groups
        self._permissions = permissions
        self._command_line = command_line
        self._handlers: dict[str, dict[str, Callable[[Request], Response]]] = {
            "/": {"GET": self._home},
            LOGIN_PATH: {"GET": _login_form, "POST": _log_in},
            "/logout": {"POST": _log_out},
            **{path: {"GET": _page} for path in _PROTECTED},
            ADMINISTRATION.path: {"GET": self._administration, "POST": self._change},
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        try:
            response = self._handler(request)(request)
        except HTTPError as problem:
            response = self._problem(request, problem)
        except SourceError as error:
            # Not with its traceback: it is no fault of the program.
            _LOGGER.error("%s", error)  # noqa: TRY400
            response = self._problem(request, _unavailable())
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    def _handler(self, request: Request) -> Callable[[Request], Response]:
        """Return what answers *request*, if its sender may have that."""
        # Unlike `request.path`, this is always there, be it UTF-8 or not.
        path = request.environ["PATH_INFO"]
        handlers = self._handlers.get(path)
        if handlers is None:
            raise HTTPNotFound("There is no such page here.")
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            methods = ", ".join(handlers)
            raise HTTPMethodNotAllowed(f"This page takes {methods}.", headers=[("Allow", methods)])
        if request.method == "POST" and is_from_elsewhere(request):
            raise HTTPForbidden("That form is on another site. Nothing was done.")
        page = _PROTECTED.get(path)
        refusal = page and page.refusal(request.environ)
        if page and refusal:
            # The refusal is the user's as a visitor: a 403 would be wrong, and a 401 ask for a
            # login that cannot help.
            if is_unavailable(request):
                raise _unavailable()
            return lambda request: _refused(request, page, refusal)
        return handler

    def _problem(self, request: Request, problem: HTTPError) -> HTTPError:
        handlers = self._handlers.get(request.environ["PATH_INFO"], {})
        return render_problem(request, problem, is_page="GET" in handlers)

    def _home(self, request: Request) -> Response:
        credentials = request.environ.get("repoze.what.credentials", {})
        mine = set(credentials.get("groups", ()))
        # A visitor's page asks Redis nothing, so that it is there while Redis is not.
        permissions = self._permissions.get_all_sections() if mine else {}
        return render(
            request,
            "home.html",
            groups=sorted(mine),
            permissions={
                name: sorted(mine & permissions.get(name, set()))
                for name in sorted(credentials.get("permissions", ()))
            },
            refusals=[(page, page.refusal(request.environ)) for page in PAGES],
        )

    def _administration(self, request: Request) -> Response:
        return render(
            request,
            "administration.html",
            page=ADMINISTRATION,
            changed=_fields(request.query_string).get("changed"),
            command_line=self._command_line,
            sources={
                name: (adapter.get_all_sections(), sorted(choices))
                for name, (adapter, choices) in self._sources().items()
            },
        )

    def _change(self, request: Request) -> Response:
        _check_form_token(request)
        form = _form(request)
        try:
            source = form["source"]
            section, item = (
                unquote(form[name], errors="surrogateescape") for name in ("section", "item")
            )
            adapter, choices = self._sources()[source]
            change, is_possible = {
                "include": (adapter.include_item, item in choices),
                "exclude": (adapter.exclude_item, item != ""),
            }[form["change"]]
        except KeyError:
            raise HTTPBadRequest("The form is incomplete. Nothing was changed.") from None
        if not (section and is_possible):
            raise HTTPBadRequest(f"“{item}” cannot be in “{section}”. Nothing was changed.")
        try:
            change(section, item)
        except (ItemNotPresentError, ItemPresentError, NonExistingSectionError) as error:
            raise HTTPConflict(f"Somebody else has changed it meanwhile. {error}") from error
        card = f"{source}-{quoted(section)}"
        return HTTPSeeOther(location=f"{ADMINISTRATION.path}?changed={quote(card)}#{card}")

    def _sources(self) -> dict[str, tuple[BaseSourceAdapter, set[str]]]:
        """Return the adapter of each source, with the items that its sections may be given."""
        return {
            "groups": (self._groups, set(PASSWORDS)),
            "permissions": (self._permissions, set(self._groups.get_all_sections())),
        }


def _refused(request: Request, page: Page, refusal: str) -> Response:
    response = render(request, "refused.html", page=page, refusal=refusal)
    response.status = 403 if request.remote_user else 401
    return response


def _unavailable() -> HTTPServiceUnavailable:
    return HTTPServiceUnavailable(
        "The newspaper's groups and permissions lie there, and where they are asked for, nobody "
        "is let in without them. Wait a moment, then try again; you stay logged in. If you were "
        "changing something, look first whether it is done.",
        headers=[("Retry-After", "5")],
    )


def _page(request: Request) -> Response:
    return render(request, "page.html", page=_PROTECTED[request.path])


def _login_form(request: Request) -> Response:
    path = local_path(request, _fields(request.query_string).get("came_from", "/"))
    return _login_page(request, path)


def _log_in(request: Request) -> Response:
    form = _form(request)
    path = local_path(request, form.get("came_from", "/"))
    login = form.get("login", "")
    try:
        headers = log_in(request.environ, login, form.get("password", ""))
    except HTTPError as refusal:
        refusal.body = _login_page(request, path, login, refusal.detail).body
        return refusal
    return HTTPSeeOther(location=path, headers=headers)


def _login_page(
    request: Request, path: str, login: str = "", failure: str | None = None
) -> Response:
    return render(
        request,
        "login.html",
        came_from=path,
        login=login,
        failure=failure,
        page=_PROTECTED.get(path.partition("?")[0]),
        passwords=PASSWORDS,
    )


def _log_out(request: Request) -> Response:
    if request.remote_user:
        _check_form_token(request)
    return HTTPSeeOther(location="/", headers=log_out(request.environ))


def _form(request: Request) -> dict[str, str]:
    return _fields(request.body.decode("utf-8", "replace"))


def _fields(encoded: str) -> dict[str, str]:
    return dict(parse_qsl(encoded, keep_blank_values=True))


def _check_form_token(request: Request) -> None:
    if not has_form_token(request.environ, _form(request).get("form_token", "")):
        raise HTTPForbidden(
            "That form belongs to another session. Nothing was done. Open its page anew."
        )
