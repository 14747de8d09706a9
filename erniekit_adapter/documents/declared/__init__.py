"""Document types that are declared in a folder: `schema.json` and `document_type.yaml`."""

SCHEMA_FILE, DEFINITION_FILE = "schema.json", "document_type.yaml"
