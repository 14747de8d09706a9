"""Answers and OCR output in lines of a log."""
