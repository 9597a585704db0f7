"""Vendored browser code is exactly what vendor.toml says, and nothing else lies beside it."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

VENDOR = Path(__file__).resolve().parents[2] / "static" / "vendor"
PACKAGES = tomllib.loads((VENDOR / "vendor.toml").read_text())["package"]
FILES = [item for package in PACKAGES for item in package.get("files", [])]


@pytest.mark.parametrize("item", FILES, ids=lambda item: item["file"])
def test_each_file_has_the_sum_that_was_written_down(item: dict[str, str]) -> None:
    found = hashlib.sha256((VENDOR / item["file"]).read_bytes()).hexdigest()

    assert found == item["sha256"]


@pytest.mark.parametrize("item", FILES, ids=lambda item: item["file"])
def test_no_file_points_at_a_source_map(item: dict[str, str]) -> None:
    assert b"sourceMappingURL" not in (VENDOR / item["file"]).read_bytes()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_each_package_names_its_licence_and_the_text_is_here(
    package: dict[str, str],
) -> None:
    text = (VENDOR / "LICENSES" / package["licence_file"]).read_text()

    assert package["licence"]
    assert len(text) > 500


def test_each_package_is_pinned_by_an_integrity_sum() -> None:
    assert all(package["integrity"].startswith("sha512-") for package in PACKAGES)


def test_nothing_lies_in_the_folder_that_is_not_listed() -> None:
    listed = {"vendor.toml"} | {item["file"] for item in FILES}
    listed |= {f"LICENSES/{package['licence_file']}" for package in PACKAGES}

    found = {
        path.relative_to(VENDOR).as_posix()
        for path in VENDOR.rglob("*")
        if path.is_file()
    }

    assert found == listed
