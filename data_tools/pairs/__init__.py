"""From a record to a request and its answer."""
