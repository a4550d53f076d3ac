"""Node-local caches; each folder is named by the identity of its content."""
