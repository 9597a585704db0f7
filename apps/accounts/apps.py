"""App configuration of accounts."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class AccountsConfig(AppConfig):
    """Who is who, and whose is what."""

    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.accounts import proving, receivers  # noqa: PLC0415 - they need the app registry
        from apps.accounts.signin import failures  # noqa: PLC0415 - so does it

        sweeps.register(
            "accounts.check_domains", proving.sweep, every=proving.SWEEP_SECONDS
        )
        sweeps.register("accounts.close_sign_ins", receivers.close_sign_ins, every=60)
        sweeps.register("accounts.tell_failures", failures.tell, every=20)
