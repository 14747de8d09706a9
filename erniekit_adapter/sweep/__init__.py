"""Several runs of one project, compared with each other."""
