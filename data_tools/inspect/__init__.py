"""Preview, report and audit: show data to people."""
