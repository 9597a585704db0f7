"""Hardened OpenID Connect: allauth's provider with the checks that it leaves out.

Who may come in is told by `admission`; here it is made sure that the provider really said so.
"""
