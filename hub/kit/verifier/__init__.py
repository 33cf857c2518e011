"""The kit's verifier in parts: plain Python 3.9 and its standard library, nothing of the hub.

`hub.kit.program` lays the parts behind each other into the one file ``pruefen.py`` that goes into every kit.
What is checked is written down in docs/reference/kit.md. Names are unique across the parts, since they
become one module.
"""
