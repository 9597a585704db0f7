"""Who plays in the demo: organisations, people and identity providers, as tables of facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An organisation of the demo. Those with a domain sign in through the bundled provider."""

    slug: str
    name: str
    tier: str
    kind: str = "customer"
    mail_domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can log in."""

    email: str
    name: str
    company: str
    role: str
    duty: str
    group: str = ""
    is_staff: bool = False
    is_superuser: bool = False


COMPANIES = (
    Company(slug="acme", name="Acme", tier="enterprise", mail_domain="acme.example"),
    Company(slug="globex", name="Globex", tier="mid", mail_domain="globex.example"),
    Company(slug="netra", name="Netra", tier="platform", kind="platform"),
)
PEOPLE = (
    Person(
        email="alice@acme.example",
        name="Alice Archer",
        company="acme",
        role="owner",
        duty="owner",
    ),
    Person(
        email="bob@acme.example",
        name="Bob Baker",
        company="acme",
        role="member",
        duty="member",
    ),
    Person(
        email="mallory@globex.example",
        name="Mallory Marsh",
        company="globex",
        role="owner",
        duty="owner",
    ),
    Person(
        email="support@netra.example",
        name="Sam Support",
        company="netra",
        role="member",
        duty="support operator",
        group="support_operator",
        is_staff=True,
    ),
    Person(
        email="lead@netra.example",
        name="Lee Lead",
        company="netra",
        role="admin",
        duty="support lead, second person for grants",
        group="support_lead",
        is_staff=True,
    ),
    Person(
        email="auditor@netra.example",
        name="Aude Auditor",
        company="netra",
        role="viewer",
        duty="security auditor",
        group="security_auditor",
        is_staff=True,
    ),
    Person(
        email="admin@netra.example",
        name="Ada Admin",
        company="netra",
        role="owner",
        duty="platform admin",
        group="platform_admin",
        is_staff=True,
        is_superuser=True,
    ),
)
