"""Exports to files, and imports from them: JSON, ini and XML."""

import io
import json
import os
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repoze.what.plugins.redis.command.failures import Failure
from repoze.what.plugins.redis.command.json_files import read_json
from repoze.what.plugins.redis.names import encode

GROUPS = {"editors": {"rosa", "ben"}, "writers": {"rosa"}, "interns": set()}
PERMISSIONS = {"publish": {"editors"}, "write": {"editors", "writers"}, "sell": set()}
STAFF_AS_JSON = """\
{
  "groups": {
    "editors": ["ben", "rosa"],
    "interns": [],
    "writers": ["rosa"]
  },
  "permissions": {
    "publish": ["editors"],
    "sell": [],
    "write": ["editors", "writers"]
  }
}
"""
GROUPS_AS_INI = "[editors]\nben\nrosa\n\n[interns]\n\n[writers]\nrosa\n\n"
PERMISSIONS_AS_INI = "[publish]\neditors\n\n[sell]\n\n[write]\neditors\nwriters\n\n"
GROUPS_AS_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<groups>
  <group name="editors">
    <member name="ben"/>
    <member name="rosa"/>
  </group>
  <group name="interns">
  </group>
  <group name="writers">
    <member name="rosa"/>
  </group>
</groups>
"""
PERMISSIONS_AS_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<permissions>
  <permission name="publish">
    <group name="editors"/>
  </permission>
  <permission name="sell">
  </permission>
  <permission name="write">
    <group name="editors"/>
    <group name="writers"/>
  </permission>
</permissions>
"""
ADDED = (
    "groups: 3 new, 0 completed, 0 as before; 3 members added\n"
    "permissions: 3 new, 0 completed, 0 as before; 3 grants added\n"
)
UNCHANGED = (
    "groups: 0 new, 0 completed, 3 as before; 0 members added\n"
    "permissions: 0 new, 0 completed, 3 as before; 0 grants added\n"
)
IN_TEXT = ["a b", "Zoë", "\U0001f600", "-x", "a=b;c", "'\"&<>", "a\tb", "7"]
BEYOND_TEXT = ["\x1b[31m", "\x00", "\udcff", "a\udce9z", "\n", " ", "# no comment", "[x]", "\r"]
FILES = {
    "ini": (GROUPS_AS_INI, PERMISSIONS_AS_INI),
    "xml": (GROUPS_AS_XML, PERMISSIONS_AS_XML),
}


WANTED = "an object with groups and permissions is wanted there"
WANTED_KEY = "'groups', 'permissions' or 'until' is wanted there, each of them once"
WANTED_NAME = "a name, which is a text or a whole number, is wanted there"


class CountedFile(io.BytesIO):
    number_of_reads = 0

    def read(self, *arguments):
        self.number_of_reads += 1
        return super().read(*arguments)


def is_name(value):
    return isinstance(value, int | str) and not isinstance(value, bool) and bool(encode(value))


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "groups", tmp_path / "permissions"


@pytest.fixture
def options(paths):
    return "--groups", str(paths[0]), "--permissions", str(paths[1])


def fill_with(names, groups, permissions):
    for adapter in (groups, permissions):
        for name in names:
            adapter.create_section(name)
            adapter.include_items(name, names)


def empty(*adapters):
    for adapter in adapters:
        for section in adapter.get_section_names():
            adapter.delete_section(section)


class TestJSON:
    def test_export(self, done, staff, tmp_path):
        assert done("export", "json") == STAFF_AS_JSON
        assert json.loads(STAFF_AS_JSON)["groups"]["editors"] == ["ben", "rosa"]
        path = tmp_path / "staff.json"
        assert done("export", "json", str(path)) == ""
        assert path.read_text() == STAFF_AS_JSON
        assert list(tmp_path.iterdir()) == [path]

    def test_export_of_one_kind(self, done, groups):
        groups.create_section("editors")
        document = {"groups": {"editors": []}, "permissions": {}}
        assert json.loads(done("export", "json")) == document

    def test_import(self, done, tmp_path, groups, permissions):
        path = tmp_path / "staff.json"
        path.write_text(STAFF_AS_JSON)
        assert done("import", "json", str(path)) == ADDED
        assert groups.get_all_sections() == GROUPS
        assert permissions.get_all_sections() == PERMISSIONS
        assert groups.check() == permissions.check() == []
        assert done("import", "json", str(path)) == UNCHANGED

    def test_import_of_the_standard_input(self, done, groups):
        document = '{"groups": {"a": ["b", "b", 7, -0, -12], "8": []}}'
        done("import", "json", "-", stdin=document)
        assert groups.get_all_sections() == {"a": {"b", "7", "0", "-12"}, "8": set()}

    def test_byte_order_mark(self, done, groups, tmp_path):
        """Programs of Windows begin a file with it."""
        path = tmp_path / "staff.json"
        path.write_text(STAFF_AS_JSON, encoding="utf-8-sig")
        assert done("import", "json", str(path)) == ADDED

    def test_only_some_of_it(self, done, groups, permissions):
        done("import", "json", "-", stdin="{}")
        done("import", "json", "-", stdin=' {"permissions" : { } } ')
        assert (groups.get_all_sections(), permissions.get_all_sections()) == ({}, {})

    def test_names_that_are_read_in_parts(self, done, groups):
        """What is read at once ends anywhere in a name, or in an escape or a letter of it."""
        names = {
            letter * length for letter in ("a", "\n", "é", "\U0001f600") for length in (9, 70_000)
        }
        for text in (
            json.dumps({"groups": {"all": [*names]}}, ensure_ascii=escaped)
            for escaped in (True, False)
        ):
            done("import", "json", "-", stdin=text)
            assert groups.get_all_sections() == {"all": names}

    def test_long_name_is_not_read_over_and_over(self):
        """It would take the square of the time."""
        for name in (b"9" * 4_000_000, b'"' + b"a" * 4_000_000 + b'"'):
            file = CountedFile(b'{"groups": {"a": [' + name + b"]}}")
            _, (_, _, item, _) = read_json(file)
            assert item == name.strip(b'"')
            assert file.number_of_reads < 30

    def test_any_names(self, done, groups, permissions, tmp_path):
        names = {*IN_TEXT, *BEYOND_TEXT}
        fill_with(names, groups, permissions)
        path = str(tmp_path / "all.json")
        done("export", "json", path)
        empty(groups, permissions)
        done("import", "json", path)
        assert groups.get_all_sections() == dict.fromkeys(names, names)
        assert permissions.get_all_sections() == dict.fromkeys(names, names)

    @pytest.mark.parametrize(
        ("document", "problem"),
        [
            ("", f"1, column 1: {WANTED}, not the end."),
            (" \n ", f"2, column 2: {WANTED}, not the end."),
            ("[]", f"1, column 1: {WANTED}, not a list."),
            ("7", f"1, column 1: {WANTED}, not a number."),
            ("null", f"1, column 1: {WANTED}, not null."),
            ("nil", "1, column 1: that is no JSON: text is written in double quotes."),
            ("'a'", "1, column 1: that is no JSON."),
            (STAFF_AS_JSON[:-3], "11, column 4: a comma or } is wanted there, not the end."),
            (STAFF_AS_JSON + "[]", "13, column 1: nothing more is wanted there, not a list."),
            (STAFF_AS_JSON + "x" * 9, "13, column 1: that is no JSON: text is written in double"),
            ('{"users": {}}', f"1, column 2: {WANTED_KEY}."),
            ('{"groups": {},\n"groups": {}}', f"2, column 1: {WANTED_KEY}."),
            ('{"groups": {"a": [],\n "b": [], "a": []}}', "'a' comes twice among the groups."),
            ('{"groups": {"7": [], "\\u0037": []}}', "'7' comes twice among the groups."),
            ('{"groups": {"é": [], "é": []}}', "'é' comes twice among the groups."),
            ('{"groups" {}}', "1, column 11: a colon is wanted there, not an object."),
            ('{"groups": {"a" []}}', "1, column 17: a colon is wanted there, not a list."),
            ("{groups: {}}", "1, column 2: that is no JSON: text is written in double quotes."),
            ("{7: {}}", "1, column 2: a name in quotes is wanted there, not a number."),
            ('{"groups": ["a"]}', "12: an object with a list for each of the groups is wanted the"),
            ('{"groups": {"a": "b"}}', "1, column 18: a list for 'a' is wanted there, not a text."),
            ('{"groups": {"a": {}}}', "1, column 18: a list for 'a' is wanted there, not an obj"),
            ('{"groups": {"a": [null]}}', f"1, column 19: {WANTED_NAME}, not null."),
            ('{"groups": {"a": [true]}}', f"1, column 19: {WANTED_NAME}, not true."),
            ('{"groups": {"a": [1.5]}}', f"1, column 19: {WANTED_NAME}, not a number."),
            ('{"groups": {"a": [007]}}', f"1, column 19: {WANTED_NAME}, not a number."),
            ('{"groups": {"a": [[]]}}', f"1, column 19: {WANTED_NAME}, not a list."),
            ('{"groups": {"a": ["b",]}}', "column 23: there is a comma too many before that."),
            ('{"groups": {"a": ["b" "c"]}}', "column 23: a comma or ] is wanted there, not a tex"),
            ('{"groups": {"a": ["b\nc"]}}', "column 21: that is no JSON."),
            (r'{"groups": {"a": ["\x"]}}', "column 19: that is no JSON: there is no such escape"),
            ('{"groups": {"a": ["b', "column 21: that is no JSON."),
            ('{"groups": {"a": ["b\\', "column 21: that is no JSON."),
            ('{"groups": {"a": ["é", ""]}}', "column 24: '' cannot name a section or an item"),
            ('{"groups": {"": []}}', "1, column 13: '' cannot name a section or an item"),
            ('{"until": {"users": {}}}', "'groups' or 'permissions' is wanted there, each of"),
            ('{"until": {}, "until": {}}', f"1, column 15: {WANTED_KEY}"),
            ('{"until": []}', "column 11: an object with groups and permissions is wanted"),
            ('{"until": {"groups": []}}', "an object with an object for each of the groups is"),
            ('{"until": {"groups": {"a": []}}}', "an object with a time for each name in 'a' is"),
            ('{"until": {"groups": {"a": {"": "2027-01-31"}}}}', "'' cannot name a section"),
            ('{"until": {"groups": {"a": {"b": 1}}}}', "a time in quotes is wanted there, not a"),
            ('{"until": {"groups": {"a": {"b": "2w"}}}}', "a time with its zone is wanted there"),
            ('{"until": {"groups": {"a": {"b": "2027-01-31"}}}}', "34: a time with its zone is"),
            (
                '{"until": {"groups": {"a": {"b": "2027-01-31T12:00Z"}}}}',
                "until: 'a' is not among the groups. Write it there, too.",
            ),
            (
                '{"groups": {"a": ["b"]}, "until": {"groups": {"a": {"b": "2027-01-31T12:00Z"}}}}',
                "'b' is in 'a' of the groups until more than one time, or for good as well.",
            ),
            (r'{"groups": {"a": ["\ud800"]}}', r"'\ud800' cannot name a section or an item"),
        ],
    )
    def test_import_of_something_else(self, refused, nowhere, document, problem, tmp_path):
        line = refused("import", "json", "-", stdin=document)
        assert problem in line
        assert line.startswith("Error: standard input: ")
        path = tmp_path / "staff.json"
        path.write_text(document)
        assert refused("import", "json", str(path)) == line.replace("standard input", str(path))

    @given(
        before=st.text(st.sampled_from('{}[],:"\\ \n a1-.eénull'), max_size=12),
        text=st.text(max_size=5),
    )
    def test_json_and_what_is_none(self, before, text):
        """What Python's own parser refuses is refused, and what it reads is read the same."""
        for name in (json.dumps(text), json.dumps(text, ensure_ascii=False), before, f'"{before}"'):
            document = f'{{"groups": {{"a": [{name}]}}}}'
            try:
                wanted = json.loads(document)
            except ValueError:
                wanted = None
            try:
                entries = list(read_json(io.BytesIO(document.encode("utf-8", "surrogatepass"))))
            except Failure:
                # Or it is JSON, with something else in it than names.
                assert wanted is None or not all(map(is_name, wanted["groups"].get("a", [0])))
            else:
                assert [item for _, _, item, _ in entries if item is not None] == [
                    str(item).encode("utf-8", "surrogateescape")
                    for items in wanted["groups"].values()
                    for item in items
                ]

    def test_nothing_is_written_before_all_is_read(self, refused, groups):
        refused("import", "json", "-", stdin=STAFF_AS_JSON[:-2])
        assert groups.get_all_sections() == {}

    def test_bytes_that_are_not_utf_8(self, refused, nowhere):
        assert refused("import", "json", "-", stdin=b'{"groups":\n{"a\xff": []}}') == (
            "Error: standard input: line 2, column 4: that is not UTF-8.\n"
        )


class TestIniAndXML:
    @pytest.mark.parametrize("file_format", FILES)
    def test_export(self, done, staff, paths, options, file_format):
        assert done("export", file_format, *options) == ""
        assert tuple(path.read_text() for path in paths) == FILES[file_format]

    @pytest.mark.parametrize("file_format", FILES)
    def test_export_of_one(self, done, staff, paths, file_format):
        done("export", file_format, "--permissions", str(paths[1]))
        assert paths[1].read_text() == FILES[file_format][1]
        assert not paths[0].exists()

    @pytest.mark.parametrize("file_format", FILES)
    def test_import(self, done, paths, groups, permissions, file_format):
        for path, text in zip(paths, FILES[file_format], strict=True):
            path.write_text(text)
        options = ("--groups", str(paths[0]), "--permissions", str(paths[1]))
        assert done("import", file_format, *options) == ADDED
        assert groups.get_all_sections() == GROUPS
        assert permissions.get_all_sections() == PERMISSIONS
        assert done("import", file_format, *options) == UNCHANGED
        assert done("import", file_format, *options[:2]).startswith(UNCHANGED[:57])

    @pytest.mark.parametrize("file_format", FILES)
    @pytest.mark.parametrize("direction", ["export", "import"])
    def test_no_file(self, run, url, file_format, direction):
        result = run(direction, file_format)
        assert result.exit_code == 2
        assert "Say --groups FILE, --permissions FILE, or both." in result.stderr

    @pytest.mark.parametrize("file_format", FILES)
    def test_many_names(self, done, groups, permissions, options, file_format):
        names = {*IN_TEXT, *(["\udcff"] if file_format == "ini" else ["\n", " ", "\r", "#"])}
        fill_with(names, groups, permissions)
        done("export", file_format, *options)
        empty(groups, permissions)
        done("import", file_format, *options)
        assert groups.get_all_sections() == dict.fromkeys(names, names)
        assert permissions.get_all_sections() == dict.fromkeys(names, names)

    @pytest.mark.parametrize(
        ("file_format", "name"),
        [
            *(("ini", name) for name in ["a#b", " a", "a ", "a\nb", "[a", "a]", "\x85", "a\rb"]),
            *(("xml", name) for name in ["\x1b", "\x00", "\udcff", "\ufffe"]),
        ],
    )
    def test_name_that_it_cannot_have(self, refused, groups, paths, file_format, name):
        export = ("export", file_format, "--groups", str(paths[0]), "--yes")
        groups.create_section("editors")
        paths[0].write_text("what was there")
        groups.include_items("editors", [name])
        line = refused(*export)
        assert f"cannot have the name {name!r}" in line
        assert "Export JSON." in line
        assert paths[0].read_text() == "what was there"
        assert list(paths[0].parent.iterdir()) == [paths[0]]
        groups.delete_section("editors")
        groups.create_section(name)
        assert "cannot have the name" in refused(*export)

    def test_ini_as_people_write_it(self, done, paths, options, groups, permissions):
        paths[0].write_bytes(
            b"\xef\xbb\xbf[admins]   # those who may\r\n  rms  \r\n\r\n# nobody else\r\n[php]"
        )
        paths[1].write_bytes(b"  [edit site]\nadmins # all of them\nadmins")
        done("import", "ini", *options)
        assert groups.get_all_sections() == {"admins": {"rms"}, "php": set()}
        assert permissions.get_all_sections() == {"edit site": {"admins"}}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("rosa\n[editors]", "Line 1 of the ini file of groups comes before any [NAME]."),
            ("\n[editors\nrosa", "Line 2 of the ini file of groups is no [NAME]."),
            ("[editors]\n[]", "Line 2 of the ini file of groups is no [NAME]."),
            ("[editors] rosa", "Line 1 of the ini file of groups is no [NAME]."),
        ],
    )
    def test_import_of_no_ini(self, refused, paths, groups, text, problem):
        paths[0].write_text(text)
        assert problem in refused("import", "ini", "--groups", str(paths[0]))
        assert groups.get_all_sections() == {}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "That is no XML, or not all of it: no element found"),
            (GROUPS_AS_XML[:-3], "That is no XML, or not all of it"),
            (GROUPS_AS_XML + "x", "That is no XML, or not all of it"),
            (PERMISSIONS_AS_XML, "Line 2 of the XML of groups: <groups> is wanted there, not <p"),
            ("<groups>\n<user/></groups>", "Line 2 of the XML of groups: <group> is wanted there"),
            ("<groups><group/></groups>", "a name is wanted there, not none, for <group>."),
            ("<groups><group name=''/></groups>", "a name is wanted there, not none, for <group>"),
            (
                "<groups><group name='a'><member username='b'/></group></groups>",
                "a name is wanted there, not none, for <member>.",
            ),
            (
                "<groups><group name='a'><member name='b'><x/></member></group></groups>",
                "no element is wanted there, not <x>.",
            ),
            (
                "<groups><group name='a'>rosa</group></groups>",
                "no text is wanted there, not 'rosa'",
            ),
            (
                "<?xml version='1.0' encoding='utf-7'?><groups/>",
                "That is no XML, or not all of it: multi-byte encodings are not supported",
            ),
            (
                "<?xml version='1.0' encoding='x-own'?><groups/>",
                "That is no XML, or not all of it: unknown encoding",
            ),
        ],
    )
    def test_import_of_no_xml(self, refused, paths, groups, text, problem):
        paths[0].write_text(text)
        assert problem in refused("import", "xml", "--groups", str(paths[0]))
        assert groups.get_all_sections() == {}

    @pytest.mark.parametrize(
        "declaration",
        [
            # A billion laughs.
            '<!DOCTYPE groups [<!ENTITY a "ha">'
            + "".join(
                f'<!ENTITY {chr(98 + number)} "{f"&{chr(97 + number)};" * 10}">'
                for number in range(9)
            )
            + "]>",
            # A file of the server's, and somebody's address.
            '<!DOCTYPE groups [<!ENTITY j SYSTEM "file:///etc/hostname">]>',
            '<!DOCTYPE groups SYSTEM "http://127.0.0.1:1/groups.dtd">',
            # Half a gigabyte out of 64 kilobytes.
            f'<!DOCTYPE groups [<!ENTITY j "{"a" * 32_000}">]>',
        ],
    )
    def test_entities_are_refused(self, refused, paths, groups, declaration):
        paths[0].write_text(f'{declaration}<groups><group name="{"&j;" * 10}"/></groups>')
        assert "no document type declaration is wanted there" in refused(
            "import", "xml", "--groups", str(paths[0])
        )
        assert groups.get_all_sections() == {}

    def test_xml_in_another_encoding(self, done, paths, groups):
        text = "<?xml version='1.0' encoding='iso-8859-1'?><groups><group name='Zoë'/></groups>"
        paths[0].write_bytes(text.encode("iso-8859-1"))
        done("import", "xml", "--groups", str(paths[0]))
        assert groups.get_all_sections() == {"Zoë": set()}


class TestFile:
    """What an export writes to, and what an import reads."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "staff.json"
        path.write_text("what was there")
        return path

    def test_file_that_is_there(self, refused, done, staff, path):
        assert "there is nobody to ask" in refused("export", "json", str(path))
        assert path.read_text() == "what was there"
        done("export", "json", str(path), "--yes")
        assert path.read_text() == STAFF_AS_JSON

    def test_asks_to_replace_a_file(self, run_at_terminal, staff, path):
        status, shown = run_at_terminal("export", "json", str(path), typed="n\n")
        assert status == 2
        assert f"There is a file '{path}'. Replace it? [y/N]" in shown
        assert path.read_text() == "what was there"
        status, _ = run_at_terminal("export", "json", str(path), typed="y\n")
        assert status == 0
        assert path.read_text() == STAFF_AS_JSON

    def test_link_to_a_file(self, done, staff, path, tmp_path):
        link = tmp_path / "link"
        link.symlink_to(path)
        done("export", "json", str(link), "--yes")
        assert link.is_symlink()
        assert path.read_text() == STAFF_AS_JSON

    def test_loop_of_links(self, refused, staff, tmp_path):
        (tmp_path / "one").symlink_to(tmp_path / "other")
        (tmp_path / "other").symlink_to(tmp_path / "one")
        path = tmp_path / "one"
        assert refused("export", "json", str(path)).startswith(f"Error: {path}: Too many levels")

    def test_device(self, done, staff, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        read = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
        reader.start()
        done("export", "json", str(pipe), "--yes")
        reader.join()
        assert read == [STAFF_AS_JSON]
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_no_such_folder(self, refused, staff, tmp_path):
        for nowhere in (tmp_path / "nowhere" / "staff.json", "/nonexistent/staff.json"):
            assert refused("export", "json", str(nowhere)) == (
                f"Error: {nowhere}: No such file or directory\n"
            )

    @pytest.mark.parametrize("file_format", [("json",), ("ini", "--groups"), ("xml", "--groups")])
    def test_no_such_file(self, refused, url, file_format):
        assert refused("import", *file_format, "no-such-file") == (
            "Error: no-such-file: No such file or directory\n"
        )

    @pytest.mark.parametrize("direction", ["export", "import"])
    @pytest.mark.parametrize("file_format", [("json",), ("ini", "--groups"), ("xml", "--groups")])
    def test_folder(self, refused, staff, direction, file_format, tmp_path):
        assert refused(direction, *file_format, str(tmp_path)) == (
            f"Error: {tmp_path}: Is a directory\n"
        )

    def test_who_may_read_it_stays(self, done, staff, path):
        path.chmod(0o640)
        done("export", "json", str(path), "--yes")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert path.read_text() == STAFF_AS_JSON

    def test_disk_is_full(self, refused, staff):
        assert refused("export", "json", "/dev/full") == (
            "Error: /dev/full: No space left on device\n"
        )

    def test_failure_leaves_the_file_as_it_was(self, refused, path):
        assert "cannot be reached" in refused(
            "--url", "redis://127.0.0.1:1", "export", "json", str(path), "--yes"
        )
        assert path.read_text() == "what was there"
        assert list(path.parent.iterdir()) == [path]

    def test_pipe(self, server, tmp_path):
        """Nothing can be read twice that comes out of one."""
        command = [sys.executable, "-m", "repoze.what.plugins.redis.command"]
        environment = {**os.environ, "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}"}
        result = subprocess.run(
            [*command, "import", "json", "-"],
            input=STAFF_AS_JSON,
            env=environment,
            check=True,
            text=True,
            capture_output=True,
        )
        assert (result.stdout, result.stderr) == (ADDED, "")
        result = subprocess.run(
            [*command, "export", "ini", "--groups", "/dev/stdout"],
            env=environment,
            check=True,
            text=True,
            capture_output=True,
        )
        assert (result.stdout, result.stderr) == (GROUPS_AS_INI, "")


def test_standard_input_that_has_been_read_in_part(server, tmp_path):
    """As a shell does before it starts the program: what is left is what is meant."""
    path = tmp_path / "two.ini"
    path.write_text("[admins]\nmallory\n[staff]\nrosa\n")
    with path.open("rb", buffering=0) as file:
        file.seek(len("[admins]\nmallory\n"))
        command = ("-m", "repoze.what.plugins.redis.command", "import", "ini", "--groups", "-")
        result = subprocess.run(
            [sys.executable, *command],
            stdin=file,
            env={**os.environ, "REPOZE_WHAT_REDIS_URL": f"redis://127.0.0.1:{server.port}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    assert server.client(db=1).keys() == [b"staff"]


@pytest.mark.parametrize("command", ["import", "export"])
@pytest.mark.parametrize("kind", ["ini", "xml"])
def test_one_file_for_both(run, url, command, kind):
    result = run(command, kind, "--groups", "-", "--permissions", "-")
    assert result.exit_code == 2
    assert "cannot be in one file" in result.stderr
