"""The evaluate stage: metrics, results, and the summary of a run."""
