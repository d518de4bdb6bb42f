"""What a manifest is: its tables, its document and their rules."""
