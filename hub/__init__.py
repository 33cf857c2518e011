"""The core of the data exchange hub: the six steps of an exchange and what they need."""
