"""How people sign in: allauth, passwords, second factors."""

from __future__ import annotations

from ipaddress import ip_address

from netra import env
from netra.settings.environment import NETRA_DEMO, NETRA_LIMITS, NETRA_VAR, PRODUCTION


def _dns(value: str) -> str:
    if value == "system" or (value == "zone" and not PRODUCTION):
        return value
    return ",".join(str(ip_address(part.strip())) for part in value.split(","))


# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        # Long beats mixed: no rule asks for kinds of characters.
        "OPTIONS": {"min_length": 15},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "apps.accounts.signin.passwords.StretchedPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
]
# The first one hashes; a password that any other one hashed is hashed anew at its next use.
PASSWORD_HASHERS = [
    "apps.accounts.signin.passwords.MeasuredArgon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# Who tells whether a company's mail domain is its own: the system's resolver, name servers, or a table
NETRA_DNS = env.parsed(
    "NETRA_DNS",
    "zone" if NETRA_DEMO else "system",
    _dns,
    form="'system', addresses of name servers, or outside production 'zone'",
)
NETRA_DNS_PORT = 53
NETRA_DNS_ZONE = NETRA_VAR / "dns.json"  # what 'zone' reads: {"name": ["text", …]}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.accounts.signin.adapter.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "apps.accounts.signin.adapter.SocialAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "provider_class": "apps.accounts.oidc.provider.Provider",
    }
}
# Tries in a time, by address (ip), by account (key) or by who is signed in (user). Counted in the
# shared cache; addresses as apps.core.addresses and ALLAUTH_TRUSTED_PROXY_COUNT find them.
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,100/h/ip,5/5m/key",
    "company": "30/m/ip",
    "provider": "30/m/ip",
    "reset_password": "10/m/ip,3/h/key",
    "reset_password_from_key": "10/m/ip",
    "change_password": "5/m/user",
    "reauthenticate": "5/m/user",
}
NETRA_LIMIT_SECONDS = 300  # after so long every limit by the minute lets one try again
NETRA_TOKENS_RATE = "10/hour"  # tokens that one person may make
if not NETRA_LIMITS:
    ACCOUNT_RATE_LIMITS = False
# SAML is an optional extra that this release has not been tested with (apps.accounts.checks).
NETRA_SAML = env.flag("NETRA_SAML", default=False)
MFA_ADAPTER = "apps.accounts.signin.second_factors.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
