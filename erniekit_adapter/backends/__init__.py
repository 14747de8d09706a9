"""The toolkits: settings from a project file, limits, key tables, environments and processes."""
