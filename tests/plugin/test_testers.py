"""The adapter testers of repoze.what, on each server."""

import unittest

import pytest

from repoze.what.adapters import testutil
from repoze.what.plugins.redis import RedisGroupAdapter, RedisPermissionAdapter


class OfGroups:
    adapter_class = RedisGroupAdapter


class OfPermissions:
    adapter_class = RedisPermissionAdapter


class OnServer:
    """Sets up the tester's source on the server of `client`."""

    client = None
    options = None
    writable = True

    def setUp(self):
        super().setUp()
        self.client.flushall()
        writer = self.adapter_class(self.client, **self.options)
        for section, items in self.sections.items():
            writer.create_section(section)
            writer.include_items(section, items)
        self.adapter = self.adapter_class(self.client, writable=self.writable, **self.options)


TESTERS = {
    "Groups": (OfGroups, testutil.GroupsAdapterTester, True),
    "Permissions": (OfPermissions, testutil.PermissionsAdapterTester, True),
    "ReadOnlyGroups": (OfGroups, testutil.ReadOnlyGroupsAdapterTester, False),
    "ReadOnlyPermissions": (OfPermissions, testutil.ReadOnlyPermissionsAdapterTester, False),
}


@pytest.mark.parametrize("tester", TESTERS)
def test_tester(client, options, tester):
    source, checks, writable = TESTERS[tester]
    case = type(
        tester,
        (OnServer, source, checks, unittest.TestCase),
        {"client": client, "options": options, "writable": writable},
    )
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    assert suite.countTestCases() > 1
    result = unittest.TestResult()
    suite.run(result)
    assert result.wasSuccessful(), "".join(text for _, text in result.failures + result.errors)
    assert result.testsRun == suite.countTestCases()
