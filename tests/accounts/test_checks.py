"""System checks of signing in."""

from __future__ import annotations

import pytest

from apps.accounts import checks


def test_without_saml_there_is_nothing_to_say():
    assert checks.check_saml() == []


@pytest.mark.parametrize(
    ("found", "code"), [(None, "netra.E201"), (object(), "netra.W201")]
)
def test_saml_is_never_said_to_work(settings, monkeypatch, found, code):
    settings.NETRA_SAML = True
    monkeypatch.setattr(checks, "find_spec", lambda name: found)

    (told,) = checks.check_saml()

    assert told.id == code
    assert told.hint
