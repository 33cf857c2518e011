"""The ways in and out: protocols and file formats. Nothing else touches a network or a foreign format."""
