"""`manage.py rotate_keys`: new keys, everything sealed anew, nothing lost when it is stopped half-way."""

from __future__ import annotations

import io
import json
import secrets
from pathlib import Path

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.db.models import F, TextField, Value
from django.db.models.functions import Cast

from apps.accounts import actions
from apps.accounts.actions import keys as rotation
from apps.accounts.models import IdentityProvider
from apps.audits.models import Entry
from apps.core.fields import is_sealed, seal, unseal
from apps.core.keys import KeyStore
from tests.accounts.conftest import make_provider
from tests.factories import TESTS

pytestmark = pytest.mark.security


@pytest.fixture
def store(settings, tmp_path: Path, db) -> KeyStore:
    """Keys of this test's own."""
    settings.NETRA_KEYS = tmp_path / "keys"
    made = KeyStore(settings.NETRA_KEYS)
    made.ensure(may_create=True)
    return made


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rotate_keys", *arguments, stdout=out)
    return out.getvalue()


def stored() -> set[str]:
    """Which keys the secrets in the database name."""
    with TESTS:
        rows = IdentityProvider.objects.annotate(raw=Cast(F("secret"), TextField()))
        told = rows.exclude(raw="").values_list("raw", flat=True)
        return {raw.partition(":")[0] for raw in told}


def plain() -> set[str]:
    with TESTS:
        return {row.secret for row in IdentityProvider.objects.all()}


@pytest.fixture
def three(store, acme, monkeypatch) -> KeyStore:
    """Three secrets, sealed with the first key, in batches of two."""
    monkeypatch.setattr(rotation, "BATCH", 2)
    for number in range(3):
        make_provider(
            acme, provider_id=f"p{number}", client_id=f"c{number}", secret=f"s{number}"
        )
    make_provider(acme, provider_id="p3", client_id="c3", secret="")
    return store


def test_every_secret_is_sealed_anew_and_says_the_same(three):
    said = run()

    assert stored() == {"fields-2"}
    assert plain() == {"s0", "s1", "s2", ""}
    assert "fields-2 is the new key" in said
    assert "Nothing names an older key than fields-2" in said


def test_the_old_key_is_needed_no_longer(three):
    run()
    (three.folder / "fields-1").unlink()

    assert plain() == {"s0", "s1", "s2", ""}
    three.ensure(may_create=False)


def test_until_it_is_done_both_keys_open(three):
    with TESTS:
        actions.make_key(actor=rotation_actor(), purpose="fields")
        column = next(iter(actions.sealed_columns()))
        actions.reseal_column(
            actor=rotation_actor(), model=column[0], field=column[1], newest="fields-2"
        )

    assert stored() == {"fields-1", "fields-2"}
    assert plain() == {"s0", "s1", "s2", ""}


def rotation_actor():
    from tests.factories import TESTER

    return TESTER


def test_what_was_stopped_is_finished_without_another_key(three, monkeypatch):
    reseal, calls = actions.reseal_column, []

    def stopped(**given):
        calls.append(given)
        if len(calls) == 2:
            raise OSError("the machine went off")
        return reseal(**given)

    monkeypatch.setattr(actions, "reseal_column", stopped)
    with pytest.raises(CommandError, match="went off"):
        run()
    monkeypatch.setattr(actions, "reseal_column", reseal)
    assert stored() == {"fields-1", "fields-2"}

    said = run()

    assert "finishing that first" in said
    assert stored() == {"fields-2"}
    assert three.all("fields") == ["fields-2", "fields-1"]


def test_a_key_that_was_copied_here_first_is_used(three):
    """Several machines: the operator puts the same file everywhere, then runs the command."""
    (three.folder / "fields-2").write_text(secrets.token_hex(32))

    run()

    assert three.newest("fields") == "fields-2"
    assert stored() == {"fields-2"}


def test_who_changes_a_secret_meanwhile_has_it_their_way(three, monkeypatch):
    opened = rotation.unseal

    def changed_meanwhile(text, *, context):
        told = opened(text, context=context)
        if told == "s0":
            with TESTS:
                IdentityProvider.objects.filter(provider_id="p0").update(secret="new")
        return told

    monkeypatch.setattr(rotation, "unseal", changed_meanwhile)

    run()

    assert plain() == {"new", "s1", "s2", ""}


def test_a_server_that_has_only_the_old_key_is_not_overruled_and_told_of(
    three, monkeypatch
):
    opened = rotation.unseal
    theirs = seal("new", context="accounts_identityprovider.secret")

    def changed_meanwhile(text, *, context):
        told = opened(text, context=context)
        if told == "s0":
            raw = Value(theirs, output_field=TextField())
            with TESTS:
                IdentityProvider.objects.filter(provider_id="p0").update(secret=raw)
        return told

    monkeypatch.setattr(rotation, "unseal", changed_meanwhile)
    with pytest.raises(CommandError, match="changed meanwhile"):
        run()
    assert plain() == {"new", "s1", "s2", ""}

    run()

    assert stored() == {"fields-2"}
    assert plain() == {"new", "s1", "s2", ""}


def test_what_cannot_be_opened_is_named_and_left_alone(three, acme):
    lost = make_provider(acme, provider_id="p4", client_id="c4", secret="s4")
    with TESTS:
        broken = Cast(F("secret"), TextField())
        IdentityProvider.objects.filter(pk=lost.pk).annotate(raw=broken).update(
            secret=F("client_id")
        )

    with pytest.raises(
        CommandError, match=f"accounts_identityprovider.secret of {lost.pk}"
    ):
        run()

    assert stored() == {"fields-2", "c4"}


def test_the_trail_tells_of_it(three):
    run()

    with TESTS:
        entries = Entry.objects.filter(act="keys_rotated").order_by("seq")
        bodies = [json.loads(entry.body) for entry in entries]
    assert [body["target"] for body in bodies] == ["key:fields-2", "key:fields-2"]
    assert bodies[0]["details"] == {
        "purpose": "fields",
        "before": "fields-1",
        "after": "fields-2",
    }
    assert bodies[1]["details"]["resealed"] == 3
    assert not any("s0" in entry for entry in map(str, bodies))


@pytest.mark.parametrize("purpose", ["trail", "signing"])
def test_other_keys_are_made_and_the_old_ones_stay(store, purpose):
    said = run("--purpose", purpose)

    assert store.all(purpose) == [f"{purpose}-2", f"{purpose}-1"]
    assert f"{purpose}-2 is the new key" in said


def test_new_entries_of_the_trail_name_the_new_key(store):
    run("--purpose", "trail")
    run("--purpose", "signing")

    with TESTS:
        assert Entry.objects.order_by("seq").last().key_id == "trail-2"


def test_a_new_secret_stands_before_the_old_one(store):
    said = run("--purpose", "secret")

    assert store.all("secret") == ["secret-2", "secret"]
    assert "Restart the servers" in said


def test_a_secret_of_the_environment_is_not_ours_to_change(store, monkeypatch):
    monkeypatch.setenv("NETRA_SECRET_KEY", "x" * 50)

    with pytest.raises(CommandError, match="NETRA_SECRET_KEY"):
        run("--purpose", "secret")


def test_a_folder_that_cannot_be_written_is_told(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("apps.core.keys.os.link", full)

    with pytest.raises(CommandError, match="No space left"):
        run()


# -- second factors ------------------------------------------------------------------------


def seeds(alice) -> dict[str, object]:
    return Authenticator.objects.get(user=alice, type="totp").data


def test_a_seed_is_stored_sealed_and_read_plain(store, alice):
    from allauth.mfa.totp.internal.auth import TOTP

    TOTP.activate(alice, "JBSWY3DPEHPK3PXP")

    assert is_sealed(seeds(alice)["secret"])
    assert get_adapter().decrypt(seeds(alice)["secret"]) == "JBSWY3DPEHPK3PXP"


def test_a_seed_of_the_release_before_still_counts_and_is_sealed_by_a_rotation(
    store, alice
):
    Authenticator.objects.create(
        user=alice, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"}
    )
    assert get_adapter().decrypt(seeds(alice)["secret"]) == "JBSWY3DPEHPK3PXP"

    run()

    assert seeds(alice)["secret"].startswith("fields-2:")
    assert get_adapter().decrypt(seeds(alice)["secret"]) == "JBSWY3DPEHPK3PXP"


def test_recovery_codes_follow_a_rotation(store, alice):
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    codes = RecoveryCodes.activate(alice)
    before = codes.get_unused_codes()
    run()

    row = Authenticator.objects.get(user=alice, type="recovery_codes")
    assert row.data["seed"].startswith("fields-2:")
    assert RecoveryCodes(row).get_unused_codes() == before


def test_codes_that_were_taken_over_follow_too(store, alice):
    data = {"seed": "", "migrated_codes": ["one", "two"], "used_mask": 0}
    data["seed"] = get_adapter().encrypt("seed")
    row = Authenticator.objects.create(user=alice, type="recovery_codes", data=data)
    run()

    row.refresh_from_db()
    assert [get_adapter().decrypt(code) for code in row.data["migrated_codes"]] == [
        "one",
        "two",
    ]
    assert row.data["used_mask"] == 0


def test_a_seed_that_was_changed_counts_for_nothing(store, alice):
    sealed = get_adapter().encrypt("JBSWY3DPEHPK3PXP")
    Authenticator.objects.create(
        user=alice, type="totp", data={"secret": sealed[:-6] + "AAAAA="}
    )

    with pytest.raises(CommandError, match="mfa_authenticator"):
        run()


def test_a_sealed_seed_opens_nowhere_else(store):
    sealed = get_adapter().encrypt("seed")

    with pytest.raises(ValueError, match="cannot be opened"):
        unseal(sealed, context="accounts_identityprovider.secret")
