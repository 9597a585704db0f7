"""Writes what Netra is made of as a CycloneDX 1.6 document: Python packages and vendored browser code.

python deploy/sbom.py [FILE]      # or to the standard output

Reads constraints.txt and vendor.toml only: the same commit gives the same document, without network.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
MANIFEST = ROOT / "static" / "vendor" / "vendor.toml"
Component = dict[str, Any]


def document() -> dict[str, Any]:
    """The whole bill of materials."""
    project = _toml(ROOT / "pyproject.toml")["project"]
    components = [*_python(), *_browser()]
    own = _component("application", project["name"], project["version"], "pypi")
    own["licenses"] = [{"license": {"id": project["license"]["text"]}}]
    told = json.dumps(components, sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Made from the content, so that it changes with it and only then.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, told)}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": [c["bom-ref"] for c in components]}
        ],
    }


def _python() -> list[Component]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return [
        _component("library", re.sub(r"[-_.]+", "-", name).lower(), version, "pypi")
        for name, version in pairs
    ]


def _browser() -> list[Component]:
    found = []
    for package in _toml(MANIFEST)["package"]:
        made = _component("library", package["name"], package["version"], "npm")
        made["licenses"] = [{"license": {"id": package["licence"]}}]
        files = [
            {
                "type": "file",
                "name": f"static/vendor/{file['file']}",
                "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
            }
            for file in package.get("files", ())
        ]
        found.append(made | ({"components": files} if files else {}))
    return found


def _component(kind: str, name: str, version: str, registry: str) -> Component:
    url = f"pkg:{registry}/{name.replace('@', '%40')}@{version}"
    return {
        "type": kind,
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
    }


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    text = json.dumps(document(), indent=2) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
