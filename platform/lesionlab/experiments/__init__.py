"""What is true of a whole study of models: its plan, splits, ledger and registry, and the cache of its volumes."""
