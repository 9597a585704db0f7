"""The table of refusals: none is missing, none is invented, and docs/sso.md shows just this."""

from __future__ import annotations

import ast
from pathlib import Path

from apps.accounts.admission import PERSON_RULES, SignInRefusedError
from apps.accounts.doctor import codes
from apps.accounts.oidc import answers
from apps.accounts.oidc.errors import ProviderRefusedError
from apps.accounts.sessions import backchannel
from apps.accounts.sessions.stepup import StepUpRefusedError
from apps.accounts.signin import entry
from tests.sources import ROOT

DOCUMENT = ROOT / "docs" / "sso.md"
SPEAKERS = ("admission.py", "signin", "oidc", "sessions")
OF_RULES = {
    SignInRefusedError,
    entry.CompanySignInRequiredError,
    entry.StaffThroughCustomerError,
    entry.AnswerUsedError,
    StepUpRefusedError,
}


def table() -> str:
    lines = ["| code | rule | meaning | what to do |", "|---|---|---|---|"]
    for each in codes.meanings():
        rule = f"`{each.rule}`" if each.rule else ""
        lines.append(f"| `{each.code}` | {rule} | {each.said} | {each.remedy} |")
    return "\n".join(lines)


assert backchannel.LogoutTokenError  # a subclass is known once it is imported


def every_kind(base: type) -> set[type]:
    found = {base}
    for kind in base.__subclasses__():
        if kind.__module__.startswith("apps."):
            found |= every_kind(kind)
    return found


def sources() -> list[Path]:
    place = ROOT / "apps" / "accounts"
    return [
        path
        for name in SPEAKERS
        for path in ([place / name] if name.endswith(".py") else sorted((place / name).rglob("*.py")))
    ]  # fmt: skip


def rules_written() -> set[str]:
    """Each rule that some call names, read from the source."""
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            for keyword in node.keywords:
                if keyword.arg == "rule":
                    found.add(_rule(keyword.value))
            if path.name == "stepup.py" and getattr(node.func, "id", "") == "_refused":
                found.add(f"step_up_{node.args[1].value}")  # type: ignore[attr-defined]
    return found - {""}


def _rule(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.Name) and value.id.isupper():
        return str(getattr(answers, value.id))
    if isinstance(value, ast.Attribute) and value.attr.isupper():  # Rule.OWN_DOMAIN
        return value.attr.lower()
    return ""  # handed on


def test_every_refusal_of_a_provider_has_a_remedy():
    kinds = every_kind(SignInRefusedError) - OF_RULES - {ProviderRefusedError}

    assert {kind.code for kind in kinds} == set(codes.REMEDIES)


def test_every_rule_that_the_source_names_stands_in_the_table():
    by_class = {kind.rule for kind in every_kind(ProviderRefusedError)}
    in_table = {rule for _, rule in codes.BY_RULE if rule}

    assert rules_written() - by_class == in_table
    assert set(PERSON_RULES) <= in_table


def test_every_code_with_rules_stands_in_the_table():
    told = {code for code, _ in codes.BY_RULE}

    assert told == {kind.code for kind in OF_RULES} | {
        entry.SignInInterruptedError.code
    }


def test_a_refusal_on_record_is_found_by_its_code_and_rule():
    found = codes.meaning_of("sign_in_refused", "invited")

    assert found is not None
    assert "makes no members" in found.said
    assert codes.meaning_of("sign_in_nonce", "token_nonce") is not None
    assert codes.meaning_of("sign_in_refused", "of another release") is None


def test_the_document_shows_just_this_table():
    text = DOCUMENT.read_text()
    shown = text.split("<!-- refusals -->\n")[1].split("<!-- end of refusals -->")[0]

    assert shown.strip() == table()
