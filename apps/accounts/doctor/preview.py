"""What an answer of a provider would lead to: every rule's verdict, the role and what gives it, whose account.

Asks the rules that sign-in asks, and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from allauth.socialaccount.models import SocialLogin

from apps.accounts import admission
from apps.accounts.access import proved_domains
from apps.accounts.admission import (
    CLAIM_RULES,
    Claims,
    Found,
    SignInRefusedError,
    Verdict,
)
from apps.accounts.doctor import redaction
from apps.accounts.doctor.findings import Finding, Grade
from apps.accounts.domains.names import domain_of
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import answers
from apps.accounts.roles import RoleFrom, RoleGiven, claim_values
from apps.accounts.sessions import evidence
from apps.core.tenancy import tenant

TITLES = {
    "claims_present": "The provider tells a subject and an e-mail address",
    "own_domain": "The address is in a domain that the organisation proved",
    "verified_address": "The provider does not call the address unverified",
    "still_a_member": "The person was not removed",
    "identity_active": "This way of signing in is not suspended",
    "same_organisation": "No account outside the organisation has this address",
    "one_person_per_address": "Nobody else has signed in with this address",
    "active_account": "The account is open",
    "staff_elsewhere": "The person is not of Netra's staff",
    "invited": "The person is a member, or may become one by signing in",
    answers.RECORD_RULE: "The sign-in is recorded for no other account",
}
VALUES_SHOWN = 10


class Lead(StrEnum):
    """What a sign-in with this answer would do."""

    EXISTING = "existing"  # come in with an account that was linked before
    LINKED = "linked"  # be linked to a member's account
    CREATED = "created"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rule, as the page tells it."""

    rule: str
    title: str
    grade: Grade  # unknown: not asked any more
    said: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a test login found. Redacted: no address, subject or unknown claim in full."""

    lead: Lead
    said: str
    rule: str = ""  # that refused
    user_id: str = ""  # of the account that is there
    findings: tuple[Finding, ...] = ()
    rules: tuple[Asked, ...] = ()
    claims: tuple[redaction.Claim, ...] = ()
    role: str = ""
    role_said: str = ""
    more: tuple[str, ...] = ()


def refused(error: SignInRefusedError) -> Report:
    """The report of a test that did not get as far as the rules: the provider's word cannot count."""
    details = ", ".join(f"{name}: {value}" for name, value in error.values.items())
    said = redaction.sentence(error.message + (f" ({details})" if details else ""))
    return Report(
        lead=Lead.REFUSED,
        said=f"A sign-in would be refused before any rule about the person: {error.rule}.",
        rule=error.rule,
        findings=(
            Finding(
                code=error.code,
                title=f"The provider’s word: {error.rule}",
                grade=Grade.FAIL,
                said=said,
                fix=redaction.sentence(error.fix),
            ),
        ),
        rules=tuple(_asked(Verdict(rule=rule, asked=False)) for rule in TITLES),
    )


def of(provider: IdentityProvider, login: SocialLogin) -> Report:
    """The report of an answer that was verified."""
    claims = answers.claims_in(login)
    with tenant(provider.organisation_id):
        judged = admission.judge(provider, claims)
        record = answers.record_of(login)
        verdicts = (*judged.verdicts, _against_record(judged, record))
        found = judged.found
        asked_about_people = judged.verdicts[len(CLAIM_RULES)].asked
        given = (
            admission.role_given(provider, found.place, claims)
            if asked_about_people
            else None
        )
        follows = _follows(provider, found, claims)
    refusal = next((v.refusal for v in verdicts if v.refusal is not None), None)
    lead = _lead(found, refusal)
    return Report(
        lead=lead,
        said=_said(provider, lead, found, claims, refusal),
        rule=str(refusal.rule) if refusal else "",
        user_id=str(found.user.pk) if found.user else "",
        findings=_findings(provider, claims),
        rules=tuple(map(_asked, verdicts)),
        claims=redaction.claims({**evidence.claims_of(login), **claims.attributes}),
        role=given.role if given else "",
        role_said=_role_said(provider, given) if given else "",
        more=(_place_said(found, given, refusal), follows) if given else (),
    )


def _against_record(judged: admission.Judgement, record: object) -> Verdict:
    """The one rule that comes after admission: asked of those whom it lets pass."""
    if judged.refusal is not None:
        return Verdict(rule=answers.RECORD_RULE, asked=False)
    refusal = answers.against_record(record, judged.found.user)
    return Verdict(rule=answers.RECORD_RULE, refusal=refusal)


def _asked(verdict: Verdict) -> Asked:
    title = TITLES[verdict.rule]
    if not verdict.asked:
        return Asked(rule=verdict.rule, title=title, grade=Grade.UNKNOWN)
    if verdict.refusal is None:
        return Asked(rule=verdict.rule, title=title, grade=Grade.OK)
    return Asked(
        rule=verdict.rule,
        title=title,
        grade=Grade.FAIL,
        said=redaction.sentence(verdict.refusal.message),
        fix=redaction.sentence(verdict.refusal.fix),
    )


def _lead(found: Found, refusal: SignInRefusedError | None) -> Lead:
    if refusal is not None:
        return Lead.REFUSED
    if found.identity is not None:
        return Lead.EXISTING
    return Lead.CREATED if found.user is None else Lead.LINKED


def _said(
    provider: IdentityProvider,
    lead: Lead,
    found: Found,
    claims: Claims,
    refusal: SignInRefusedError | None,
) -> str:
    if refusal is not None:
        return f"A sign-in would be refused by the rule {refusal.rule}."
    own = redaction.address(found.user.email if found.user else claims.email)
    if lead is Lead.EXISTING:
        return f"A sign-in would come in as the account {own}, which {provider.name} vouched for before."
    if lead is Lead.LINKED:
        return f"A sign-in would link this subject to the existing account {own} and come in as it."
    return f"A sign-in would create the account {own} and come in as it."


def _place_said(
    found: Found, given: RoleGiven | None, refusal: SignInRefusedError | None
) -> str:
    if given is None or refusal is not None:
        return ""
    if found.place is None:
        return f"It would make a membership as {given.role}."
    if found.place.role != given.role:
        return (
            f"It would change the membership from {found.place.role} to {given.role}."
        )
    return f"The membership as {given.role} would stay as it is."


def _follows(provider: IdentityProvider, found: Found, claims: Claims) -> str:
    user = found.user
    if user is None or not claims.emails or user.email == claims.email:
        return ""
    if domain_of(user.email) not in proved_domains(provider.organisation_id):
        return (
            "The account keeps its address, which is in no domain of the organisation."
        )
    return (
        f"The account’s address {redaction.address(user.email)} would become "
        f"{redaction.address(claims.email)}, if nobody else has that."
    )


def _role_said(provider: IdentityProvider, given: RoleGiven) -> str:
    claim = provider.role_claim
    if given.by is RoleFrom.MAP:
        return f"The value “{given.value}” of the claim “{claim}” is mapped to {given.role}."
    if given.by is RoleFrom.DIRECTORY:
        return f"A group of the organisation’s directory gives {given.role}, which is more."
    if given.by is RoleFrom.OWNER:
        return "Owners are made by hand and stay owners, whatever the provider says."
    if given.by is RoleFrom.KEPT:
        return "The provider maps no roles, so a member keeps the one they have."
    if claim:
        return f"No value of the claim “{claim}” is mapped, so the provider’s default counts."
    return "The provider maps no claim, so its default counts."


def _findings(provider: IdentityProvider, claims: Claims) -> tuple[Finding, ...]:
    taken = Finding(
        code="answer_verified",
        title="The provider’s word",
        grade=Grade.OK,
        said="State, nonce, proof key and issuer fit this test, and the ID token is signed by a key "
        f"that {provider.name} publishes, for Netra and in time.",
    )
    return (taken, *_role_findings(provider, claims))


def _role_findings(provider: IdentityProvider, claims: Claims) -> tuple[Finding, ...]:
    """Which values of the role claim are mapped, and how many are not."""
    name = provider.role_claim
    if not name:
        return ()
    values = claim_values(claims.attributes, name)
    mapped = sorted(value for value in values if value in provider.role_map)
    if not values:
        return (
            Finding(
                code="role_claim_absent",
                title="Roles",
                grade=Grade.WARN,
                said=f"The claim “{name}” is absent or empty.",
                fix=f"Let the provider release “{name}” to Netra, or correct the name of the claim.",
            ),
        )
    told = ", ".join(f"{v} → {provider.role_map[v]}" for v in mapped[:VALUES_SHOWN])
    others = len(values) - len(mapped)
    return (
        Finding(
            code="role_claim_mapped" if mapped else "role_claim_unmapped",
            title="Roles",
            grade=Grade.OK if mapped else Grade.WARN,
            said=f"Of the claim “{name}” {len(mapped)} values are mapped{': ' if told else ''}{told}; "
            f"{others} are not.",
            fix=""
            if mapped
            else "Add one of the person’s groups to the provider’s role map.",
        ),
    )
