"""Tables of audits: the trail, support's grants, isolation audits."""

from __future__ import annotations

from apps.audits.models.grants import LAPSES, REVIEWED_WITHIN, AccessGrant
from apps.audits.models.isolation import IsolationAudit, Probe
from apps.audits.models.trail import Checkpoint, Entry, Head, Receipt

__all__ = [
    "LAPSES",
    "REVIEWED_WITHIN",
    "AccessGrant",
    "Checkpoint",
    "Entry",
    "Head",
    "IsolationAudit",
    "Probe",
    "Receipt",
]
