"""Thinks: the agents, their tools and models, and the loop that runs a turn.

Owns agents. Announces and hears nothing: executions call its work by name. Knows no threads.
"""

from __future__ import annotations
