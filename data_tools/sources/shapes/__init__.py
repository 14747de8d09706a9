"""The shapes in which datasets, annotation tools and services write what a page says: one module for each family."""
