"""The network: its shape, its weights as bytes, what it adopts from another model, inference over a whole head."""
