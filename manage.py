"""The command line of Netra. Errors of configuration become one sentence, not a trace."""

from __future__ import annotations

import os
import sys

from netra.env import ConfigurationError


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    try:
        from django.core.management import execute_from_command_line  # noqa: PLC0415 - settings may refuse

        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        print(f"Netra cannot start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
