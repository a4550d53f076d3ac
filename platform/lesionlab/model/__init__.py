"""The network: architecture, weights as bytes, loading of pretrained weights, and whole-head inference."""
