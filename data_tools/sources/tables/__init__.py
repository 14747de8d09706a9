"""Tables of right answers in CSV and XLSX files."""
