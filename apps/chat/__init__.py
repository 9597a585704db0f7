"""Talks to people: threads, messages, the WebSocket, the router.

Owns threads, messages and idempotency keys. Announces nothing yet. Hears `ExecutionFinished`: writes the
reply in its transaction, and releases the next waiting message after it.
"""

from __future__ import annotations
