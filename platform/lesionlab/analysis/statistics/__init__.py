"""From result rows to every number and outcome of an analysis: values and types, no prose."""
