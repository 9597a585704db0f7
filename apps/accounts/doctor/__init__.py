"""The sign-in doctor: what is set up wrongly, what a sign-in would lead to, what went wrong, what soon will.

It looks and tells; it lets nobody in and repairs nothing.
"""
