"""Runs and remembers: nine states, leases and fences, the numbered event log, recovery.

Owns executions, attempts, transitions, phases, streams and events. Announces `ExecutionQueued`,
`ExecutionFinished`. Knows neither agents nor chat: work is named, input and output are JSON.
"""

from __future__ import annotations
