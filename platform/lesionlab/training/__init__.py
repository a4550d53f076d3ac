"""Train a network on study volumes in torch: augmentation, patches, losses, optimisers, schedules, checkpoints."""
