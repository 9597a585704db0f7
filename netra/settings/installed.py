"""What Django loads: apps, middleware, templates."""

from __future__ import annotations

from netra.settings.environment import ROOT

INSTALLED_APPS = [
    "daphne",
    "apps.core",
    "apps.audits",
    "apps.accounts",
    "apps.executions",
    "apps.usage",
    "apps.agents",
    "apps.chat",
    "apps.issues",
    "apps.ops",
    "netra",
    "unfold.apps.BasicAppConfig",  # the default one would put its own admin site in place of ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "netra.admin.NetraAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "csp",
]
MIDDLEWARE = [
    # First, so that answers of all the others carry their headers too.
    "netra.hardening.HeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.sessions.middleware.SignInMiddleware",
    "apps.accounts.middleware.PrincipalMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "netra.urls"
ASGI_APPLICATION = "netra.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": [
                "apps.core.templatetags.netra",
                "apps.executions.templatetags.states",
            ],
        },
    }
]

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
