"""The tamper matrix: what can be done to the log at which place, and what must be found."""
