"""What happened and was refused. Owns receipts now; the sealed trail and isolation audits come here.

Tables hold plain values, never foreign keys, so that they outlive what they speak of.
"""

from __future__ import annotations
