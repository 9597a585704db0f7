"""Isolation audits: the product tries its own doors as one canary organisation against another.

What there is to try is declared in core.surfaces by the apps that open it.
"""
