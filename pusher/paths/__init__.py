"""Names of files: which suit, what they become, and which a destination can have."""
