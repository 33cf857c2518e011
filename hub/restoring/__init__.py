"""Coming back from a backup: what the database lacks, two people who approve it, and how it is put back."""
