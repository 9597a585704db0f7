"""Coming in: the login page, the company's provider, who is admitted with which role.

What holds after that is sessions; the protocol itself is oidc.
"""
