"""Shapes of ground truth that data sets, annotation tools and services write: one module for each."""
