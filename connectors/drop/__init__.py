"""The drop: an SFTP server through which partners bring files and fetch parcels, receipts and reports."""
