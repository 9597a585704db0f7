"""Being signed in: which sign-ins hold, until when, what they prove, and how they end."""
