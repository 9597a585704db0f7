"""What issues hears."""

from __future__ import annotations
