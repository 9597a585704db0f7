"""Words and ground that all other apps use: errors, actors, scopes, database, bells, hub.

Owns no tables. Announces nothing, hears nothing.
"""

from __future__ import annotations
