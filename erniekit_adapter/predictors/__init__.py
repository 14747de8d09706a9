"""Predictors: a request in, an answer out."""
