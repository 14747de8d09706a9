"""Values and texts of all documents: money, dates, JSON, reasoning; one package for each document type."""
