"""Every refusal of company sign-in by its code: what it means, and what support does about it.

What the person is told stands with each error; docs/sso.md is made from this table, and a test misses none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.accounts.admission import SignInRefusedError

PLAIN = SignInRefusedError.code
CLOCKS = "Compare the clocks of both servers; more than a minute apart is too much."
KEYS = "Run “Check set-up”: it says whether a key that can be used is published."
URL = (
    "Correct the issuer's address, or have the provider publish public https addresses."
)
ATTACK = (
    "Ask for one more try. If it comes again, treat it as an attack and tell security."
)
METADATA = "Run “Check set-up”, and send what it finds to the provider's administrator."


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One refusal: by which code and rule it is found, what it says, what support does."""

    code: str
    rule: str
    said: str
    remedy: str


# What one class refuses with several rules, or with a rule of its own. (code, rule) → said, remedy.
BY_RULE: dict[tuple[str, str], tuple[str, str]] = {
    (PLAIN, "claims_present"): ("The provider sent no subject or no e-mail address.", "Have the provider release the claim “email” to Netra, or switch on asking userinfo."),
    (PLAIN, "own_domain"): ("The address is outside the domains that the organisation proved.", "Prove the domain in DNS, or correct the address at the provider."),
    (PLAIN, "verified_address"): ("The provider says that it has not verified the address.", "Have the person confirm their address at the provider."),
    (PLAIN, "still_a_member"): ("The person was removed from the organisation.", "Add them again, if an owner agrees."),
    (PLAIN, "identity_active"): ("The identity was suspended by hand.", "Ask who suspended it (see the trail); lift it on the identity's page."),
    (PLAIN, "same_organisation"): ("The address belongs to an account of another organisation.", "Move the account only with the consent of both organisations."),
    (PLAIN, "one_person_per_address"): ("Another subject has signed in with this address before.", "Ask whether the address was given to another person. Only if it is the same one, unlink the old identity."),
    (PLAIN, "active_account"): ("The account is closed.", "Open it again, if an owner agrees."),
    (PLAIN, "staff_elsewhere"): ("A member of Netra's staff came through a customer's provider.", "They sign in with their password and second factor, or through Netra's own provider."),
    (PLAIN, "invited"): ("The provider makes no members, and the person is none.", "Have an owner add them, or let the provider make members."),
    (PLAIN, "no_joining"): ("Somebody who is signed in tried to join another company's sign-in to the account.", "They sign out first. If nobody tried, treat it as an attack."),
    (PLAIN, "one_account_per_identity"): ("The subject is recorded for two accounts.", "Compare the identity with the accounts; unlink the wrong one."),
    (PLAIN, "provider_enabled"): ("The provider was switched off in between.", "Switch it on again, or leave it so."),
    ("company_sign_in_required", "sso_required"): ("A right password, where company sign-in is enforced.", "They continue with their company. See “Who would be locked out” for whoever cannot."),
    ("staff_through_customer", "staff_elsewhere"): ("The same, found after the second factor or on another server.", "As above."),
    ("sign_in_answer_used", "answer_once"): ("The provider's answer was used before: sent twice, or replayed.", "Ask them to start from the sign-in page. If it comes again, treat it as an attack."),
    ("step_up_refused", "step_up_same"): ("Confirming: another account answered than the one that is signed in.", "They choose the same account at the provider."),
    ("step_up_refused", "step_up_auth_time_told"): ("Confirming: the provider does not say when the person signed in there.", "Have the provider send “auth_time” when it is asked with max_age."),
    ("step_up_refused", "step_up_auth_time_fresh"): ("Confirming: the provider did not ask the person anew.", "Have the provider honour prompt=login and max_age."),
    (PLAIN, "still_vouched"): ("The identity was suspended or unlinked between the provider's answer and the second factor.", "As for a suspended identity: see the trail for who did it."),
    ("sign_in_interrupted", ""): ("The shared cache was away, so an answer could not be marked as used.", "See /readyz and Redis; they try again."),
}  # fmt: skip
# What each class of its own means for support. Its docstring says what it is.
REMEDIES: dict[str, str] = {
    "sign_in_state_unknown": "They took longer than ten minutes, went back in the browser, or changed browsers. If it meets all: look at cookies and at the proxy's host name.",
    "sign_in_answer_issuer": ATTACK,
    "sign_in_provider_error": "Read the error in the receipt; most often the person is not assigned to Netra at the provider.",
    "sign_in_code_refused": "Most often the client secret is wrong or has ended, or the way it is sent: compare both with the provider.",
    "sign_in_provider_down": "See whether the provider's address answers from the server; it is theirs to repair.",
    "sign_in_provider_slow": "As above: it took longer than Netra waits.",
    "sign_in_address_forbidden": URL,
    "sign_in_provider_redirects": "Enter the address that it redirects to, if that is the provider's own.",
    "sign_in_answer_too_large": METADATA,
    "sign_in_bad_answer": METADATA,
    "sign_in_bad_metadata": METADATA,
    "sign_in_metadata_issuer": "Enter the issuer exactly as the provider's own description says, to the last slash.",
    "sign_in_issuer_shared": "Enter the issuer of the one tenant: no “common”, no “organizations”.",
    "sign_in_token_missing": "Have the provider allow the scope “openid”.",
    "sign_in_token_too_large": "Have the provider send fewer groups.",
    "sign_in_token_algorithm": "Have the provider sign with RS256, PS256, ES256 or EdDSA.",
    "sign_in_token_header": ATTACK,
    "sign_in_token_key": KEYS,
    "sign_in_token_signature": KEYS,
    "sign_in_token_issuer": "Compare the issuer with the provider's own description.",
    "sign_in_token_audience": "Compare the client id with the one of the application at the provider.",
    "sign_in_token_expired": CLOCKS,
    "sign_in_token_early": CLOCKS,
    "sign_in_token_claims": METADATA,
    "sign_in_nonce": ATTACK,
    "sign_in_access_token": ATTACK,
    "sign_in_other_person": ATTACK,
    "sign_in_hosted_domain": "They use a private Google account, or the domain is not proved.",
    "sign_in_other_tenant": "They belong to another Microsoft tenant, or the issuer names the wrong one.",
    "sign_in_groups_left_out": "Have app roles sent, or only the groups that are assigned to Netra.",
    "logout_token_refused": "No sign-in: a notice of logout that the provider sent was not valid. Nobody was signed out by it.",
}


def meaning_of(code: str, rule: str) -> Meaning | None:
    """What a refusal on record means; none for a code of an earlier release."""
    return next(
        (m for m in meanings() if m.code == code and m.rule in {rule, ""}),
        None,
    )


def meanings() -> Iterator[Meaning]:
    """Every refusal there is, in the order of the table above and then of the way in."""
    for (code, rule), (said, remedy) in BY_RULE.items():
        yield Meaning(code=code, rule=rule, said=said, remedy=remedy)
    kinds = {kind.code: kind for kind in _kinds(SignInRefusedError)}
    for code, remedy in REMEDIES.items():
        if kind := kinds.get(code):
            rule = str(getattr(kind, "rule", ""))
            yield Meaning(code=code, rule=rule, said=_said(kind), remedy=remedy)


def _kinds(base: type[SignInRefusedError]) -> Iterator[type[SignInRefusedError]]:
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            yield kind
        yield from _kinds(kind)


def _said(kind: type[SignInRefusedError]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
