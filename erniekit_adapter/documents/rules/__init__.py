"""Rules on answers, their findings, and the kinds of rules that a document type declares."""
