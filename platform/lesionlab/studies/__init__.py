"""What is true of a whole study of models: its plan, its splits, its ledger, its registry, and the cache of its volumes."""
