"""Turn labelled MRI datasets into study volumes and a manifest in the store."""
