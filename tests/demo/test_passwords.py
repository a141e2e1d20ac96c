import base64
import hashlib
import stat

import pytest

from repoze.what.plugins.redis.demo.passwords import (
    check_password,
    hash_password,
    write_htpasswd,
)


@pytest.fixture
def costs(monkeypatch):
    """What hashes cost that are made meanwhile, by another function, which costs nothing."""
    costs = []

    def scrypt(password, *, salt, n, r, p):
        costs.append((n, r, p))
        return hashlib.sha256(salt + password).digest()

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    return costs


def test_the_right_password_is_right_and_no_other(cheap_hashes):
    hashed = hash_password("tide & time")
    assert check_password("tide & time", hashed)
    assert not check_password("tide & tim", hashed)
    assert not check_password("", hashed)


def test_a_hash_holds_its_parameters_and_a_salt_of_its_own(costs):
    first, second = hash_password("same"), hash_password("same")
    assert first.startswith("$scrypt$ln=14,r=8,p=5$")
    assert costs == [(1 << 14, 8, 5)] * 2
    assert first != second
    assert ":" not in first


def test_a_hash_made_at_another_cost_is_checked_at_that_cost():
    key = hashlib.scrypt(b"ink", salt=b"0123456789abcdef", n=16, r=4, p=2)
    salt_and_key = "MDEyMzQ1Njc4OWFiY2RlZg==$" + base64.b64encode(key).decode()
    assert check_password("ink", f"$scrypt$ln=4,r=4,p=2${salt_and_key}")
    assert not check_password("ink", f"$scrypt$ln=5,r=4,p=2${salt_and_key}")


@pytest.mark.parametrize(
    "hashed",
    ["", "ABCDEF0123456789", "$scrypt$ln=4,r=8,p=1$$", "$scrypt$ln=x,r=8,p=1$AA==$AA=="],
)
def test_what_is_no_hash_fits_no_password_and_costs_as_much_as_one(hashed, costs):
    known = hash_password("ledger")
    costs.clear()
    assert not check_password("wrong", known)
    assert not check_password("wrong", hashed)
    assert not check_password(hashed, hashed)
    assert costs == [(1 << 14, 8, 5)] * 3


def test_the_file_is_its_owners_and_has_a_line_a_user(tmp_path, cheap_hashes):
    path = tmp_path / "htpasswd"
    write_htpasswd(path, {"rosa": "headline", "ben": "notebook"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rosa, ben = path.read_text().splitlines()
    assert check_password("headline", rosa.removeprefix("rosa:"))
    assert check_password("notebook", ben.removeprefix("ben:"))
