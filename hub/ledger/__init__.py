"""The transfer log: entries, the Merkle tree over them, signed checkpoints, proofs, and their verifier."""
