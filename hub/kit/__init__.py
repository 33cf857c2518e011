"""The auditor's kit (Prüfpaket): one archive that proves the transfer log offline, without trusting the hub."""
