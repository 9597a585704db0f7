"""An organisation's mail domains: their names as text, and the proof that they are its own."""
