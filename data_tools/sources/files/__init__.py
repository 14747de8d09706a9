"""Files that sources read: JSON values and lists, XML, annotation files, and paths that stay inside a folder."""
