"""Groups what went wrong. Owns issues and their evidence.

Hears `ExecutionFinished`: a failure opens an issue, or is counted on the one with its fingerprint.
"""

from __future__ import annotations
