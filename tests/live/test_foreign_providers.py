"""Signing in at a running Netra through two providers that nobody here wrote, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from tests.live.foreign import SECRET, node_provider, python_provider
from tests.live.installation import Installation

pytestmark = [
    pytest.mark.live,
    pytest.mark.golden_path,
    pytest.mark.security,
    pytest.mark.xdist_group("live-uvicorn"),
]
SEED = Path(__file__).with_name("foreign_seed.py")
NEWCOMER, STRANGER = "newcomer@acme.example", "mallory@globex.example"
PATIENCE = 20


@dataclass
class Browser:
    """Cookies, forms and redirects, as a browser without script would have them."""

    at: str
    name: str
    field: str

    def __post_init__(self) -> None:
        self.session = requests.Session()

    @property
    def start_url(self) -> str:
        return f"{self.at}/accounts/oidc/acme-{self.name}/login/"

    def start(self) -> requests.Response:
        """Netra's page, its button, and the redirect that follows."""
        page = self.session.get(self.start_url, timeout=PATIENCE)
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.text)
        assert token, page.text
        return self.session.post(
            self.start_url,
            data={"csrfmiddlewaretoken": token[1]},
            headers={"Referer": self.start_url},
            allow_redirects=False,
            timeout=PATIENCE,
        )

    def to_form(self, url: str) -> str:
        """Where the provider's own form stands."""
        page = self.session.get(url, timeout=PATIENCE)
        assert page.ok, page.text
        return page.url

    def agree(self, form: str, who: str) -> str:
        """Say who one is; returns the address at Netra that the provider sends one to."""
        answer = self._post(form, {self.field: who})
        while not answer.headers["Location"].startswith(self.at):
            place = urljoin(answer.url, answer.headers["Location"])
            answer = self.session.get(place, allow_redirects=False, timeout=PATIENCE)
            assert answer.is_redirect, answer.text
        return answer.headers["Location"]

    def sign_in(self, who: str) -> requests.Response:
        there = self.start().headers["Location"]
        return self.session.get(self.agree(self.to_form(there), who), timeout=PATIENCE)

    @property
    def is_signed_in(self) -> bool:
        page = self.session.get(f"{self.at}/chat/", timeout=PATIENCE)
        return page.ok and "/accounts/login/" not in page.url

    def _post(self, url: str, data: dict[str, str]) -> requests.Response:
        answer = self.session.post(
            url, data=data, allow_redirects=False, timeout=PATIENCE
        )
        assert answer.is_redirect, answer.text
        return answer


@pytest.fixture(scope="module")
def netra(servers: Callable[[str], Installation]) -> Installation:
    return servers("uvicorn")


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npm")


@pytest.fixture(scope="module", params=["python", "node"])
def provider(request, netra: Installation, node_folder: Path) -> Iterator[Browser]:
    """The name and the form of each provider; acme has set it up."""
    at, name = f"http://127.0.0.1:{netra.port}", request.param
    back = f"{at}/accounts/oidc/acme-{name}/login/callback/"
    running = (
        node_provider(node_folder, back)
        if name == "node"
        else python_provider([NEWCOMER, STRANGER])
    )
    with running as issuer:
        netra._run(str(SEED), issuer, name, SECRET)
        yield Browser(at, name, field="who" if name == "node" else "sub")


@pytest.fixture
def person(provider: Browser) -> Browser:
    """Without cookies."""
    return Browser(provider.at, provider.name, provider.field)


def identities(netra: Installation, name: str) -> list[tuple[object, ...]]:
    return netra.rows(
        "SELECT i.sub, i.email FROM accounts_identity i JOIN accounts_identityprovider p "
        "ON p.id = i.provider_id WHERE p.provider_id = ?",
        f"acme-{name}",
    )


def test_a_person_signs_in_and_stays_the_same_person(
    netra: Installation, person: Browser, provider: Browser
) -> None:
    who = f"{person.name}@acme.example" if person.name == "node" else NEWCOMER
    assert person.sign_in(who).url.endswith("/chat/")
    assert person.is_signed_in

    again = Browser(provider.at, provider.name, provider.field)
    again.sign_in(who)

    assert again.is_signed_in
    emails = [email for _, email in identities(netra, person.name)]
    assert emails.count(who) == 1


def test_the_request_is_protected(person: Browser) -> None:
    asked = parse_qs(urlsplit(person.start().headers["Location"]).query)

    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= set(asked)


def test_a_stranger_is_refused_with_a_reference(
    netra: Installation, person: Browser
) -> None:
    before = identities(netra, person.name)

    page = person.sign_in(STRANGER)

    assert page.status_code == 403
    assert f"may not speak for {STRANGER}" in page.text
    receipt = re.search(r'class="id">([0-9a-f-]{36})<', page.text)
    assert receipt
    assert netra.rows(
        "SELECT rule FROM audits_receipt WHERE id = ?", receipt[1].replace("-", "")
    ) == [("own_domain",)]
    assert not person.is_signed_in
    assert identities(netra, person.name) == before


def test_a_nonce_that_was_swapped_on_the_way_is_refused(person: Browser) -> None:
    there = person.start().headers["Location"]
    swapped = re.sub(r"nonce=[^&]+", "nonce=the-one-of-mallory", there)

    back = person.agree(person.to_form(swapped), NEWCOMER)

    assert person.session.get(back, timeout=PATIENCE).status_code == 403
    assert not person.is_signed_in


def test_an_answer_is_used_once_and_in_its_own_browser(person: Browser) -> None:
    there = person.start().headers["Location"]
    back = person.agree(person.to_form(there), NEWCOMER)

    other = requests.get(back, timeout=PATIENCE)
    first = person.session.get(back, timeout=PATIENCE)
    second = person.session.get(back, timeout=PATIENCE)

    assert (other.status_code, second.status_code) == (401, 401)
    assert first.ok


def test_the_issuer_of_an_answer_is_neither_changed_nor_left_out(
    person: Browser,
) -> None:
    """RFC 9207. The Python provider does not name itself, and need not; nobody may claim another."""
    there = person.start().headers["Location"]
    back = person.agree(person.to_form(there), NEWCOMER)
    plain = re.sub(r"&iss=[^&]*|iss=[^&]*&", "", back)
    bad = plain if person.name == "node" else f"{plain}&iss=https://mallory.example"

    assert person.session.get(bad, timeout=PATIENCE).status_code == 403
    assert not person.is_signed_in


def test_a_proof_key_is_demanded_and_fits(person: Browser) -> None:
    """The code of one sign-in is worth nothing with the proof key of another."""
    there = person.start().headers["Location"]
    back = person.agree(person.to_form(there), NEWCOMER)
    code = parse_qs(urlsplit(back).query)["code"][0]
    second = person.start().headers["Location"]
    state = parse_qs(urlsplit(second).query)["state"][0]
    issuer = parse_qs(urlsplit(back).query).get("iss", [""])[0]
    tail = f"&iss={issuer}" if issuer else ""

    response = person.session.get(
        f"{person.start_url}callback/?code={code}&state={state}{tail}",
        timeout=PATIENCE,
    )

    assert response.status_code in {401, 403}
    assert not person.is_signed_in
