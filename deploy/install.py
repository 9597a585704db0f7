"""Installs what pyproject.toml names, at the versions of constraints.txt, into this interpreter.

python deploy/install.py [GROUP …]      # the product, and the dependency groups named
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"


def requirements(groups: list[str]) -> list[str]:
    """What the product needs, and what the groups add."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed: list[str] = list(project["project"]["dependencies"])
    for group in groups:
        needed += project["dependency-groups"][group]
    return needed


def main(groups: list[str]) -> int:
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-input"]
    command += ["--disable-pip-version-check", "--no-warn-script-location"]
    command += ["--constraint", str(CONSTRAINTS), *requirements(groups)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
