"""Pages as files: images, PDF and OCR."""
