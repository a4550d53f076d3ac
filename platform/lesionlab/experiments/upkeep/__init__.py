"""Look after a store: name and repair what is damaged, and remove what nothing refers to."""
