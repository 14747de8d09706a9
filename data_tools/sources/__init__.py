"""Sources of documents: one module for each kind, listed in `registry`; each yields records and rejections."""
