"""The bill of materials names everything that is installed or vendored, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.security

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bill(tmp_path_factory) -> dict:
    file = tmp_path_factory.mktemp("sbom") / "netra.cdx.json"
    subprocess.run(
        [sys.executable, "deploy/sbom.py", str(file)], cwd=ROOT, check=True, timeout=60
    )
    found: dict = json.loads(file.read_text())
    return found


def test_every_pinned_package_is_a_component(bill) -> None:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    pinned = {f"{_plain(name)}=={version}" for name, version in pairs}
    named = {
        f"{c['name']}=={c['version']}"
        for c in bill["components"]
        if c["purl"].startswith("pkg:pypi/")
    }

    assert named == pinned


def test_what_the_product_needs_is_pinned_at_the_version_that_runs(bill) -> None:
    pinned = {c["name"]: c["version"] for c in bill["components"]}
    wanted = {_plain(name) for name in _needs()}

    assert {n for n in wanted if n not in pinned} == set()
    assert {
        n: metadata.version(n) for n in wanted if metadata.version(n) != pinned[n]
    } == {}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.split(r"[\[<>=~!;\s]", line)[0] for line in project["dependencies"]]


def test_vendored_browser_code_is_named_with_its_sum(bill) -> None:
    vendored = {
        c["name"]: c for c in bill["components"] if c["purl"].startswith("pkg:npm/")
    }
    files = {f["name"] for c in vendored.values() for f in c.get("components", ())}

    assert {"markdown-it", "dompurify"} <= set(vendored)
    assert files == {
        str(path.relative_to(ROOT))
        for path in (ROOT / "static" / "vendor").glob("*.js")
    }


def test_the_document_is_cyclonedx_and_the_same_each_time(bill) -> None:
    again = subprocess.run(
        [sys.executable, "deploy/sbom.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert json.loads(again.stdout) == bill
    references = [c["bom-ref"] for c in bill["components"]]
    assert len(references) == len(set(references))
