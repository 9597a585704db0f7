"""What accounts refuse by name. Refused sign-ins are admission's."""

from __future__ import annotations

from apps.core.errors import ConflictError, InvalidInputError


class LastOwnerError(ConflictError):
    """An organisation keeps at least one owner."""

    code = "last_owner"
    fix = "Make another member an owner first."


class BadDomainError(InvalidInputError):
    """This is no mail domain."""

    code = "bad_domain"
    fix = "Write it as it stands behind the @, for example 'acme.example'."


class PublicDomainError(InvalidInputError):
    """Anybody can have an address in this domain."""

    code = "public_domain"
    fix = "Name a domain of the company's own."


class TooManyDomainsError(ConflictError):
    """The organisation claims too many domains."""

    code = "too_many_domains"
    fix = "Release the domains that are not used."


class DomainTakenError(ConflictError):
    """Another organisation has proved this domain."""

    code = "domain_taken"
    fix = "Tell support: they can see who holds it, and release it once that is clear."


class BadRoleMapError(InvalidInputError):
    """The map of roles cannot be used."""

    code = "bad_role_map"
    fix = 'For example {"netra-admins": "admin"}; owners are made by hand.'


class NoWayInError(ConflictError):
    """Nobody of the organisation could sign in any more."""

    code = "no_way_in"
    fix = "First set up a provider that is switched on, and prove a domain."


class NoOwnerInsideError(ConflictError):
    """No owner of the organisation could sign in any more."""

    code = "no_owner_inside"
    fix = "Let an owner sign in through the provider once, then switch it on."


class LockoutNotConfirmedError(ConflictError):
    """People could not sign in any more, and nobody has agreed to this very list of them."""

    code = "lockout_not_confirmed"
    fix = "Look at the list on the organisation's page as it is now, and confirm it."
