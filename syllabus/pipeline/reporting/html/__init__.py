"""The report: one HTML file that shows what a manifest holds, and asks nothing of any network."""
