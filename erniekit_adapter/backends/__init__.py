"""One module per toolkit: project file to settings, its data format, its command line, how to find it installed."""
