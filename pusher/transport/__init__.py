"""The ways to reach central."""
