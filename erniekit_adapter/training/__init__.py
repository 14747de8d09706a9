"""The train stage: start the toolkit, follow its log, resume interrupted runs."""
