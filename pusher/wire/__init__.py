"""What travels between site and central; pure: no database, no network."""

PROTOCOL = 1
