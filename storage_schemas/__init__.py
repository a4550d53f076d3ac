"""The doors: shape of every object that one stage leaves in the store for another."""
