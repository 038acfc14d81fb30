"""Central over HTTP: the agent protocol, and its tables for anybody to look at."""
