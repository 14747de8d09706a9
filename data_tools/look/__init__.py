"""Looking at what the stage has written: preview and report."""
