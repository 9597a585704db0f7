"""Tests, one folder for each app; fixtures stand in conftest, makers of rows in factories."""

from __future__ import annotations
