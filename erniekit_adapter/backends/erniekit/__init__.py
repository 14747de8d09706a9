"""ERNIEKit: settings and limits."""
