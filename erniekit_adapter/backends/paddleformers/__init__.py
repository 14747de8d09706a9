"""PaddleFormers: settings and limits."""
