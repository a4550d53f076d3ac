"""An experiment as a whole: its plan, splits, run ledger, model registry and volume caches."""
