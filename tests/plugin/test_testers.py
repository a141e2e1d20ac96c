"""The adapter testers of repoze.what, on each server."""

import unittest

import fakeredis
import pytest
import servers

from repoze.what.adapters import testutil
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter


class OfGroups:
    adapter_class = RedisGroupAdapter


class OfPermissions:
    adapter_class = RedisPermissionAdapter


class OnServer:
    """Sets up the tester's source on the server of `executable`, or on fakeredis."""

    executable = None
    options = None
    writable = True

    def setUp(self):
        super().setUp()
        if self.executable is None:
            client = fakeredis.FakeRedis()
        else:
            client = servers.running(self.executable).client()
            client.flushall()
        writer = self.adapter_class(client, **self.options)
        for section, items in self.sections.items():
            writer.create_section(section)
            writer.include_items(section, items)
        self.adapter = self.adapter_class(client, writable=self.writable, **self.options)


TESTERS = {
    "Groups": (OfGroups, testutil.GroupsAdapterTester, True),
    "Permissions": (OfPermissions, testutil.PermissionsAdapterTester, True),
    "ReadOnlyGroups": (OfGroups, testutil.ReadOnlyGroupsAdapterTester, False),
    "ReadOnlyPermissions": (OfPermissions, testutil.ReadOnlyPermissionsAdapterTester, False),
}


@pytest.mark.parametrize("tester", TESTERS)
@pytest.mark.parametrize("server", [*servers.executables(), "fakeredis"])
def test_tester(server, options, tester):
    source, checks, writable = TESTERS[tester]
    executable = servers.executables().get(server)
    case = type(
        tester,
        (OnServer, source, checks, unittest.TestCase),
        {"executable": executable, "options": options, "writable": writable},
    )
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    assert suite.countTestCases() > 1
    result = unittest.TestResult()
    suite.run(result)
    assert result.wasSuccessful(), "".join(text for _, text in result.failures + result.errors)
    assert result.testsRun == suite.countTestCases()
