"""BIDS datasets in; study volumes and a manifest in the store out."""
