"""Mail domains as text: one normal form, and exact names only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.domains.names import (
    PUBLIC_MAIL_DOMAINS,
    canonical,
    domain_of,
    is_public,
    new_challenge,
    normal_address,
    readable,
    record_name,
)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("Acme.Example", "acme.example"),
        (" @acme.example. ", "acme.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
        ("acme。example", "acme.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("a--b.example", "a--b.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_domain_has_one_form(given_, wanted):
    assert canonical(given_) == wanted


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "acme", "acme.", "acme..example", "-acme.example", "acme-.example",
        "acme_.example", "ac me.example", "acme.example/x", "acme.example:25", "*.example",
        "10.0.0.1", "[10.0.0.1]", "a" * 64 + ".example", "a." * 130 + "example",
        "xn--a.example", "xn---.example", "acme.exa\u200bmple\ufffe", "acme.\x00example",
        "_netra-challenge.acme.example",
    ],
)  # fmt: skip
def test_what_is_no_mail_domain_is_refused(name):
    with pytest.raises(ValueError, match="domain"):
        canonical(name)


@given(st.text(max_size=80))
def test_the_form_is_final_or_refused(text):
    try:
        once = canonical(text)
    except ValueError:
        return

    assert canonical(once) == once
    assert once.isascii()
    assert once == once.lower()


@pytest.mark.security
@pytest.mark.parametrize(
    "lookalike", ["\u0430cme.example", "acm\u0435.example", "acme.example.evil.example"]
)
def test_look_alikes_are_other_domains(lookalike):
    assert canonical(lookalike) != "acme.example"


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("Alice@ACME.example", "acme.example"),
        ("a@b@acme.example", "acme.example"),
        ("alice@münchen.example", "xn--mnchen-3ya.example"),
        ("@acme.example", ""),
        ("alice@", ""),
        ("alice", ""),
        ("alice@ac\x00me.example", ""),
        ("alice@localhost", ""),
    ],
)
def test_the_domain_of_an_address(email, domain):
    assert domain_of(email) == domain


def test_an_address_has_one_form_too():
    assert normal_address(" X.Y@MÜNCHEN.example ") == "x.y@xn--mnchen-3ya.example"
    assert normal_address("No Address") == "no address"


def test_people_read_a_domain_in_its_own_letters():
    assert readable("xn--mnchen-3ya.example") == "münchen.example"
    assert readable("xn--zz--.example") == "xn--zz--.example"


@pytest.mark.security
def test_public_domains_are_exact_names():
    assert is_public("gmail.com")
    assert not is_public("gmail.com.acme.example")
    assert not is_public("notgmail.com")
    assert {canonical(name) for name in PUBLIC_MAIL_DOMAINS} == PUBLIC_MAIL_DOMAINS


@pytest.mark.security
def test_no_two_challenges_are_alike():
    made = {new_challenge() for _ in range(100)}

    assert len(made) == 100
    assert all(len(text) <= 64 and text.startswith("netra-domain=") for text in made)
    assert record_name("acme.example") == "_netra-challenge.acme.example"
