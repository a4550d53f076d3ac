"""Train a network on study volumes in plain torch: patches, augmentation, the loop, checkpoints and schedules."""
