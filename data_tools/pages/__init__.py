"""Pages as files: images, PDF, and what an OCR engine reads on them."""
