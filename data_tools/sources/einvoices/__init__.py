"""E-invoices: UBL and CII files, and those inside a PDF."""
