"""The auditor's kit (Prüfpaket): one archive that proves the transfer log offline, the hub not trusted."""
