"""The demo: three organisations, their people, agents, 90 days of usage, executions in every state.

`seed` tells it in order. Facts stand in `cast`, `spending` and `scenes`; the rest writes them. What it
contains is described for people in docs/demo.md.
"""

from __future__ import annotations
