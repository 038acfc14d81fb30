"""Tells people what is wrong and when it is over, once for each cause: [alerts] of a configuration."""

from pusher.alerts.hearing import hear

__all__ = ["hear"]
