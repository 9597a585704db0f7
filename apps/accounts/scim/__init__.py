"""SCIM 2.0: the door through which an organisation's directory keeps its people up to date.

views parse, call one action and render; schemas say what is offered; mapping and filters are pure.
What a change means for accounts and memberships: actions.directory, actions.directory_groups.
"""
