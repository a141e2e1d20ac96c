"""Settings of an application, as configuration files have them: from text to both adapters."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from repoze.what.adapters import find_both

from .adapters import RedisGroupAdapter, RedisPermissionAdapter
from .changes import Change, Reading
from .names import Name, decode, encode, encode_for_write
from .renaming import delete_in_steps, ends_while_renamed, rename_in_steps
from .settings.options import OPTIONS, read_option, refuse_unknown
from .settings.urls import client_and_arguments, known_options, url_or_environment
from .undoing import NotInHistory, is_of_group, no_one_step, refuse_without_group

_DATABASES = _GROUPS_DB, _PERMISSIONS_DB = "groups.db", "permissions.db"


class Adapters(NamedTuple):
    """An adapter of groups and one of permissions, each with a pool of connections of its own.

    Each question is one round trip where one connection reaches both sources, as it does where both
    adapters have one client. Elsewhere it is more, and none where a near cache has the answers.
    Users, groups and permissions are what the adapters take for names. All methods raise
    `~repoze.what.adapters.SourceError` where the server refuses, and
    `~repoze.what.adapters.SourceUnavailable` where it cannot be asked.
    """

    groups: RedisGroupAdapter
    permissions: RedisPermissionAdapter

    def groups_of(self, user: Name) -> set[str]:
        """Return the groups that *user* is in."""
        return self.groups.find_sections(_credentials(user))

    def permissions_of(self, user: Name) -> set[str]:
        """Return what any group of *user* is permitted."""
        return find_both(self.groups, _credentials(user), self.permissions)[1]

    def can(self, user: Name, permission: Name) -> bool:
        """Return whether any group of *user* has *permission*."""
        if self._is_ours():
            found = self.groups.permits(_credentials(user), self.permissions, permission)
            if found is not None:
                return found
        return _text(permission) in self.permissions_of(user)

    def why(self, user: Name, permission: Name) -> set[str]:
        """Return the groups of *user* that have *permission*: none, where *user* has it not."""
        if self._is_ours():
            shared = self.groups.find_shared(_credentials(user), self.permissions, permission)
            if shared is not None:
                return shared
        wanted = _text(permission)
        if wanted not in self.permissions_of(user):
            return set()
        return {
            group
            for group in self.groups_of(user)
            if wanted in self.permissions.find_sections(group)
        }

    def users_in(self, group: Name) -> set[str]:
        """Return the users in *group*.

        :raises NonExistingSectionError: where there is no such group.
        """
        return self.groups.get_section_items(group)

    def users_with(self, permission: Name) -> set[str]:
        """Return the users in any group that has *permission*.

        :raises NonExistingSectionError: where there is no such permission.
        """
        if self._is_ours():
            found = self.groups.find_items_through(self.permissions, permission)
            if found is not None:
                return found
        groups = self.permissions.get_section_items(permission)
        return set().union(*self.groups.get_many_section_items(groups).values())

    def remove_user(self, user: Name) -> set[str]:
        """Take *user* out of all groups, and return these.

        :raises ItemNotPresentError: where *user* is in none.
        """
        return self.groups.remove_item(user)

    def rename_group(self, group: Name, new_group: Name) -> set[str]:
        """Call *group* *new_group*, and return its permissions, which go along.

        That is one step where both sources have a namespace on one server (of a Redis Cluster: in
        one slot), and no subclass has operations of its own: it is done whole, once, or not at all.
        Elsewhere, and where the server's ACL keeps it from one of two databases, its permissions
        are set aside, it is renamed, and they are handed on. In between its members lack them, and
        nobody else has them; where that is interrupted, the error says to do it again.

        :raises NonExistingSectionError: where there is no *group*.
        :raises ExistingSectionError: where *new_group* is there, *group* itself included.
        :raises ItemPresentError: where it is not, but has permissions, which the members would
            have at once.
        :raises SourceError: where an adapter is not writable, or a name is refused; in steps, or
            where such were interrupted, also where an adapter has ``read_from`` or a
            ``near_cache``.
        :raises RenamingInterrupted: where another renaming of one of them, in steps, was
            interrupted. Nothing is done.
        :raises LeftPermissions: in steps, where it is done, but somebody has left permissions to
            one of the names meanwhile.
        """
        name, new_name = _name(group), _name(new_group)
        moved = None
        if self._is_ours():
            ends = ends_while_renamed(name, new_name)
            moved = self.groups.rename_with_permissions(name, new_name, self.permissions, ends)
        return rename_in_steps(self, name, new_name) if moved is None else moved

    def delete_group(self, group: Name) -> set[str]:
        """Remove *group*, revoke its permissions, and return these.

        Otherwise a group that is made under this name later would have them. That is one step as
        `rename_group` is; elsewhere they are revoked first.

        :raises NonExistingSectionError: where there is no *group*.
        :raises SourceError: as `rename_group` does. So are `RenamingInterrupted` and
            `LeftPermissions`.
        """
        name = _name(group)
        revoked = None
        if self._is_ours():
            ends = ends_while_renamed(name)
            revoked = self.groups.delete_with_permissions(name, self.permissions, ends)
        return delete_in_steps(self, name) if revoked is None else revoked

    def undo(self, change: Change, *, leave_permissions: bool = False) -> None:
        """Undo *change* of either source, exactly, or not at all.

        One that renamed or deleted a group is undone in both sources at once, which takes what
        makes it one step: see `rename_group`.

        :param change: what `~RedisGroupAdapter.history` of either adapter has yielded.
        :param leave_permissions: whether to give a permission back also to what was a group then,
            and has been deleted or renamed since: whoever is called so next will have it.
        :raises UndoRefused: as the adapters do; where one that is of both sources cannot be undone
            in one step; and where it would leave permissions so.
        :raises SourceError: as the adapters do.
        """
        for _ in self.undo_each([change], leave_permissions=leave_permissions):
            pass

    def undo_each(
        self, changes: Iterable[Change], *, leave_permissions: bool = False
    ) -> Iterator[Change]:
        """Undo *changes*, one after the other, and yield each when it is undone.

        Each is undone as `undo` does, and where one is refused, those before it stay undone. It is
        for many, such as those of an import, the latest first: their histories are read once.

        :param changes: what `~RedisGroupAdapter.history` of either adapter has yielded.
        :param leave_permissions: as for `undo`.
        :raises UndoRefused: as `undo` does, and what else that raises.
        """
        readings = Reading(), Reading()
        for change in changes:
            if isinstance(change, Change) and not leave_permissions:
                self._refuse_without_group(change)
            self._undo(change, readings)
            yield change

    def _undo(self, change: Change, readings: tuple[Reading, Reading]) -> None:
        if isinstance(change, Change) and is_of_group(change):
            if not (
                self._is_ours()
                and self.groups.undo_with_permissions(change, self.permissions, readings)
            ):
                raise no_one_step(change)
            return
        # Of two, one may be on the plain layout.
        pairs = list(zip(self, readings, strict=True))
        first, *others = [each for each in pairs if each[0].namespace is not None] or pairs
        try:
            first[0].undo(change, first[1])
        except NotInHistory:
            if not others:
                raise
            [(other, reading)] = others
            other.undo(change, reading)

    def _refuse_without_group(self, change: Change) -> None:
        """Refuse to give permissions back to what has been deleted or renamed since.

        Where the group had none, the history of the permissions does not tell of that. Whoever
        makes a group of that name would have them.
        """
        is_told = None not in {self.groups.namespace, self.permissions.namespace}
        if is_of_group(change) or not change.removed or not is_told:
            return
        end = change.at + timedelta(milliseconds=1)
        at_that_time = self.permissions.history(since=change.at, before=end)
        if any(each.token == change.token for each in at_that_time):
            refuse_without_group(change, self.groups.history(since=change.at))

    def _is_ours(self) -> bool:
        # What stands in front of an adapter, and passes on what it does not have, is not.
        return issubclass(type(self.groups), RedisGroupAdapter)


def adapters_from_settings(settings: Mapping[str, Any], prefix: str = "redis.") -> Adapters:
    """Return the adapters that *settings* describe. They are made from one client.

    :param settings: what the application is configured with, each as text or as what its text
        stands for. After *prefix* the names are ``url``, those of the options that a URL may have,
        ``groups.db`` and ``permissions.db``. An option counts where the URL says something else,
        and the database of one adapter before that of both. Where there is no ``url``, it is
        what ``REPOZE_WHAT_REDIS_URL`` in the environment says.
    :param prefix: what the names of the settings begin with that are meant. Others are left alone.
    :raises ValueError: where there is no URL, a setting is not known or makes no sense, or the
        adapters would share a database without a namespace.
    :raises TypeError: where a value is neither text nor what text stands for.
    :raises SourceError: where the URL is of a Redis Cluster, and it refuses; `SourceUnavailable`
        where it cannot be reached. Other servers are not asked anything.
    """
    options = {
        name.removeprefix(prefix): value
        for name, value in settings.items()
        if name.startswith(prefix)
    }
    if "url" not in options:
        # It may be there, misspelt.
        _refuse_unknown(options, OPTIONS, prefix)
    url = url_or_environment(options.pop("url", None), f"{prefix}url")
    databases = {name: options.pop(name, None) for name in _DATABASES}
    _refuse_unknown(options, known_options(url.scheme), prefix)
    client, arguments = client_and_arguments(url, options)
    of_both = arguments.pop("db", "default")
    groups_db, permissions_db = (
        of_both if of_one is None else read_option("db", of_one) for of_one in databases.values()
    )
    adapters = Adapters(
        RedisGroupAdapter(client, groups_db, **arguments),
        RedisPermissionAdapter(client, permissions_db, **arguments),
    )
    if adapters.groups.mixes_with(adapters.permissions):
        raise ValueError(
            f"Groups and permissions would both be in {adapters.groups.place}, where nothing tells "
            "them apart. Leave the database out, and they are in 1 and 2; or set "
            f"{prefix}{_GROUPS_DB} and {prefix}{_PERMISSIONS_DB}, or {prefix}namespace."
        )
    return adapters


def _credentials(user: Name) -> dict[str, Name]:
    return {"repoze.what.userid": user}


def _name(name: Name) -> str:
    return decode(encode_for_write(name))


def _text(name: Name) -> str | None:
    encoded = encode(name)
    return None if encoded is None else decode(encoded)


def _refuse_unknown(options: Iterable[str], known: Iterable[str], prefix: str) -> None:
    refuse_unknown(
        [prefix + name for name in options],
        [prefix + name for name in ("url", *_DATABASES, *known)],
        "There is no setting",
    )
