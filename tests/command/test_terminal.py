"""What somebody at a terminal sees: progress and questions."""

import json


def test_progress(run_at_terminal, staff, tmp_path, address, query):
    file = tmp_path / "staff.json"
    status, shown = run_at_terminal("export", "json", str(file))
    assert status == 0
    assert "groups" in shown
    assert "100%" in shown
    document = json.loads(file.read_text())
    document["groups"].update({f"group-{number}": ["kim"] for number in range(150)})
    file.write_text(json.dumps(document))
    status, shown = run_at_terminal("import", "json", str(file))
    assert status == 0
    for label in ("reading", "comparing", "writing"):
        assert label in shown
    assert "groups: 150 new, 0 completed, 3 as before; 150 members added" in shown
    status, shown = run_at_terminal("copy", f"{address}?namespace=target&db=5")
    assert status == 0
    assert "100%" in shown
    assert "groups: 153 copied" in shown


def test_question(run_at_terminal, staff, groups):
    status, shown = run_at_terminal("groups", "delete", "editors", typed="n\n")
    assert (status, "Nothing was done." in shown) == (2, True)
    assert "editors" in groups.get_all_sections()
    status, shown = run_at_terminal("groups", "delete", "editors", typed="y\n")
    assert (status, "Go on? [y/N]" in shown) == (0, True)
    assert "editors" not in groups.get_all_sections()


def test_interrupted_question(run_at_terminal, staff, groups):
    """Ctrl-D ends what is typed."""
    status, shown = run_at_terminal("groups", "delete", "editors", typed="\x04")
    assert (status, "Interrupted." in shown) == (130, True)
    assert "editors" in groups.get_all_sections()
