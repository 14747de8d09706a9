"""Manifests of documents: entries grouped into documents, and the OCR files that they name."""
