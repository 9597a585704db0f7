"""All settings. Each part reads the environment through a reader that fails loudly."""

from __future__ import annotations

from netra.settings.api import *  # noqa: F403
from netra.settings.environment import *  # noqa: F403
from netra.settings.installed import *  # noqa: F403
from netra.settings.logs import *  # noqa: F403
from netra.settings.people import *  # noqa: F403
from netra.settings.stores import *  # noqa: F403
from netra.settings.web import *  # noqa: F403
from netra.unfold import UNFOLD  # noqa: F401 - a setting
