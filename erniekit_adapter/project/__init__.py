"""The project file: schema, loading and overrides, and the catalogue of models."""
