"""Recreate static/vendor from the packages named in vendor.toml, or check that it is intact.

Browser code that others wrote comes in here and nowhere else. Our own modules do not belong here.

    python deploy/vendor_static.py            fetch again; refuse what differs from vendor.toml
    python deploy/vendor_static.py --accept   the same after editing a version: write the new sums down

Needs npm. Nothing of it runs when Netra is installed or started.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
MANIFEST = VENDOR / "vendor.toml"
HEADER = """\
# Browser code written by others, kept in the repository so that nothing is fetched at run time.
# Change a version here, then run: python deploy/vendor_static.py --accept
# sha256 is that of our file, which is the package's without its source-map line.
# A package without files is bundled inside another one; only its licence is kept.
"""


class VendorError(Exception):
    """A package is not what vendor.toml says it is."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Recreate static/vendor.")
    parser.add_argument(
        "--accept", action="store_true", help="write new sums to vendor.toml"
    )
    accept: bool = parser.parse_args(arguments).accept
    packages: list[dict[str, Any]] = tomllib.loads(MANIFEST.read_text())["package"]
    try:
        for package in packages:
            vendor(package, accept=accept)
    except VendorError as error:
        print(error, file=sys.stderr)
        return 1
    if accept:
        MANIFEST.write_text(as_toml(packages))
    return 0


def vendor(package: dict[str, Any], *, accept: bool) -> None:
    """Fetch one package, verify it and copy its files and licence."""
    name = f"{package['name']}@{package['version']}"
    with tempfile.TemporaryDirectory() as folder:
        archive = pack(name, Path(folder))
        check(package, "integrity", integrity(archive), accept=accept, what=name)
        with tarfile.open(archive) as contents:
            write(
                VENDOR / "LICENSES" / package["licence_file"],
                read(contents, package["licence_path"]),
            )
            for item in package.get("files", []):
                body = without_source_map(read(contents, item["path"]))
                check(
                    item,
                    "sha256",
                    hashlib.sha256(body).hexdigest(),
                    accept=accept,
                    what=item["file"],
                )
                write(VENDOR / item["file"], body)
    print(f"{name}: {len(package.get('files', []))} files")


def pack(name: str, folder: Path) -> Path:
    command = [
        "npm",
        "pack",
        name,
        "--ignore-scripts",
        "--silent",
        "--pack-destination",
        str(folder),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def integrity(archive: Path) -> str:
    return (
        "sha512-"
        + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    )


def check(
    entry: dict[str, Any], key: str, found: str, *, accept: bool, what: str
) -> None:
    """Compare a sum with the one written down, or write it down."""
    if accept:
        entry[key] = found
    elif entry.get(key) != found:
        raise VendorError(
            f"{what}: {key} is {found!r}, vendor.toml says {entry.get(key)!r}"
        )


def read(contents: tarfile.TarFile, path: str) -> bytes:
    member = contents.extractfile(path)
    if member is None:
        raise VendorError(f"the package has no file {path!r}")
    return member.read()


def without_source_map(body: bytes) -> bytes:
    """Cut lines that point at a map: we ship none, and collectstatic stops at a missing one."""
    kept = [line for line in body.split(b"\n") if b"sourceMappingURL=" not in line]
    return b"\n".join(kept).rstrip() + b"\n"


def write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def as_toml(packages: list[dict[str, Any]]) -> str:
    """Write the manifest back in the one shape that it has."""
    lines = [HEADER]
    for package in packages:
        lines.append("[[package]]")
        lines += [
            f'{key} = "{value}"' for key, value in package.items() if key != "files"
        ]
        lines.append("")
        for item in package.get("files", []):
            lines.append("[[package.files]]")
            lines += [f'{key} = "{value}"' for key, value in item.items()]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
