"""The agent of a collection site, the service at central, and the command line of both."""

__version__ = "0.1.0"
