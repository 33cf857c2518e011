"""What ends at the end of its period: one module for each family of records, and the run over all of them."""
