"""The demonstration: reference partners, real drops by OpenSSH's client, an account of what came of them."""

from hub.demo.play import Outcome, play

__all__ = ["Outcome", "play"]
