"""What a provider can do wrong, each a refusal of its own: rule, sentence, what to do.

Whose address or account it is decides `admission`; these say that the provider's word cannot count.
"""

from __future__ import annotations

from apps.accounts import outbound
from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import IdentityProvider
from apps.accounts.outbound import OutboundError

TELL = "Tell your administrator; the reference says what was wrong."
AGAIN = (
    "Start again from the sign-in page. If it happens again, tell your administrator."
)


class ProviderRefusedError(SignInRefusedError):
    """The provider's answer cannot count."""

    rule, fix = "provider", TELL
    sentence = "{name} gave an answer that Netra cannot accept."

    def __init__(self, provider: IdentityProvider, **values: object) -> None:
        super().__init__(
            self.sentence.format(name=provider.name),
            rule=type(self).rule,
            fix=type(self).fix,
            **{name: _kept(value) for name, value in values.items()},
        )


def _kept(value: object) -> object:
    """A stranger's text as every database keeps it: NUL and halves of characters are spelled out."""
    odd = isinstance(value, str) and not value.isprintable()
    return repr(value) if odd else value


# -- the way there and back ----------------------------------------------------------------


class StateUnknownError(ProviderRefusedError):
    """The answer belongs to no sign-in that this browser began."""

    code, status, rule = "sign_in_state_unknown", 401, "state_known"
    fix = AGAIN
    sentence = "Sign-in did not work: the answer from {name} was too old, used already, or meant for another browser."


class AnswerIssuerError(ProviderRefusedError):
    """The answer does not say that it comes from this issuer (RFC 9207)."""

    code, rule = "sign_in_answer_issuer", "answer_issuer"
    sentence = "The answer does not come from {name}."


class ProviderSaysNoError(ProviderRefusedError):
    """The provider answered with an error."""

    code, status, rule = "sign_in_provider_error", 401, "provider_agrees"
    fix = AGAIN
    sentence = "{name} did not let you sign in."


class CodeRefusedError(ProviderRefusedError):
    """The provider did not take its own code back."""

    code, status, rule = "sign_in_code_refused", 401, "code_accepted"
    fix = AGAIN
    sentence = (
        "Sign-in did not work: {name} did not accept the code that came with you."
    )


# -- fetching ------------------------------------------------------------------------------


class ProviderDownError(ProviderRefusedError):
    """Nobody answers at the provider's address."""

    code, status, rule, retryable = "sign_in_provider_down", 503, "provider_up", True
    fix = "Try again in a minute; if it stays so, tell your administrator."
    sentence = "The sign-in of {name} cannot be reached."


class ProviderSlowError(ProviderDownError):
    """The provider took too long."""

    code, rule = "sign_in_provider_slow", "provider_in_time"
    sentence = "The sign-in of {name} takes too long to answer."


class AddressForbiddenError(ProviderRefusedError):
    """An address of the provider is not a public one over https."""

    code, rule = "sign_in_address_forbidden", "public_address"
    sentence = (
        "The sign-in of {name} is set to an address that Netra does not fetch from."
    )


class ProviderRedirectsError(ProviderRefusedError):
    """The provider sends our server elsewhere."""

    code, rule = "sign_in_provider_redirects", "no_redirects"
    sentence = "The sign-in of {name} sends our server to another address."


class AnswerTooLargeError(ProviderRefusedError):
    """The provider's document is too large."""

    code, rule = "sign_in_answer_too_large", "answer_size"
    sentence = "The sign-in of {name} answered with far too much."


class BadAnswerError(ProviderRefusedError):
    """The provider's document cannot be read."""

    code, rule = "sign_in_bad_answer", "answer_readable"
    sentence = "The sign-in of {name} answered with something that cannot be read."


class BadMetadataError(ProviderRefusedError):
    """The provider's description of itself lacks something, or is wrong."""

    code, rule = "sign_in_bad_metadata", "metadata_complete"
    sentence = "The sign-in of {name} does not describe itself as it must."


class MetadataIssuerError(ProviderRefusedError):
    """The provider calls itself by another issuer than the configured one."""

    code, rule = "sign_in_metadata_issuer", "metadata_issuer"
    sentence = "The sign-in of {name} calls itself by another name than the one that is set up."


class IssuerNotOneCompanyError(ProviderRefusedError):
    """The issuer is shared by many companies."""

    code, rule = "sign_in_issuer_shared", "issuer_of_one_company"
    sentence = (
        "The sign-in of {name} is set to an issuer that is not exactly one company's."
    )


# -- the ID token --------------------------------------------------------------------------


class TokenMissingError(ProviderRefusedError):
    """There is no ID token, or it is none."""

    code, rule = "sign_in_token_missing", "token_present"


class TokenTooLargeError(ProviderRefusedError):
    """The ID token is too large."""

    code, rule = "sign_in_token_too_large", "token_size"


class TokenAlgorithmError(ProviderRefusedError):
    """The ID token is not signed, or not in a way that we accept."""

    code, rule = "sign_in_token_algorithm", "token_algorithm"


class TokenHeaderError(ProviderRefusedError):
    """The ID token brings its own key, or is a token of another type."""

    code, rule = "sign_in_token_header", "token_header"


class TokenKeyError(ProviderRefusedError):
    """The ID token is signed with a key that the provider does not publish."""

    code, rule = "sign_in_token_key", "token_key_known"


class TokenSignatureError(ProviderRefusedError):
    """The signature does not fit."""

    code, rule = "sign_in_token_signature", "token_signature"


class TokenIssuerError(ProviderRefusedError):
    """The ID token is from another issuer."""

    code, rule = "sign_in_token_issuer", "token_issuer"


class TokenAudienceError(ProviderRefusedError):
    """The ID token is for another application."""

    code, rule = "sign_in_token_audience", "token_audience"


class TokenExpiredError(ProviderRefusedError):
    """The ID token has expired."""

    code, rule = "sign_in_token_expired", "token_in_time"
    fix = "Start again from the sign-in page. If it happens again, a clock is wrong: tell your administrator."


class TokenEarlyError(TokenExpiredError):
    """The ID token is not valid yet."""

    code, rule = "sign_in_token_early", "token_not_early"


class TokenClaimsError(ProviderRefusedError):
    """The ID token lacks a claim, or has one of the wrong form."""

    code, rule = "sign_in_token_claims", "token_claims"


class NonceError(ProviderRefusedError):
    """The ID token was made for another sign-in."""

    code, rule = "sign_in_nonce", "token_nonce"
    fix = AGAIN


class AccessTokenSwappedError(ProviderRefusedError):
    """The access token is not the one that the ID token was made with."""

    code, rule = "sign_in_access_token", "access_token_bound"


class OtherPersonError(ProviderRefusedError):
    """Userinfo and ID token speak of two persons."""

    code, rule = "sign_in_other_person", "userinfo_same_person"


# -- companies -----------------------------------------------------------------------------


class HostedDomainError(ProviderRefusedError):
    """Google does not say that the account is of one of the organisation's domains."""

    code, rule = "sign_in_hosted_domain", "hosted_domain"
    fix = "Use the Google account of your company, not a private one."
    sentence = "This Google account does not belong to a domain of {name}."


class OtherTenantError(ProviderRefusedError):
    """Microsoft's token is of another tenant."""

    code, rule = "sign_in_other_tenant", "one_tenant"
    sentence = "This Microsoft account does not belong to the tenant of {name}."


class GroupsLeftOutError(ProviderRefusedError):
    """Microsoft left the groups out because there are too many."""

    code, rule = "sign_in_groups_left_out", "groups_complete"
    fix = (
        "Ask your administrator to send app roles, or only the groups that are assigned to Netra: "
        "Microsoft leaves the groups out when a person has too many."
    )
    sentence = (
        "{name} did not tell your groups, so Netra does not know what you may do."
    )


OF_OUTBOUND: dict[type[OutboundError], type[ProviderRefusedError]] = {
    outbound.AddressRefusedError: AddressForbiddenError,
    outbound.UnreachableError: ProviderDownError,
    outbound.TooSlowError: ProviderSlowError,
    outbound.RedirectedError: ProviderRedirectsError,
    outbound.AnswerTooLargeError: AnswerTooLargeError,
    outbound.BadAnswerError: BadAnswerError,
}


def told(provider: IdentityProvider, error: OutboundError) -> ProviderRefusedError:
    """The refusal of a sign-in that a failed fetch is; the reason stays with the receipt."""
    refused = OF_OUTBOUND[type(error)](provider, reason=error.message, **error.values)
    if refused.retryable:
        refused.retry_after = 60
    return refused
