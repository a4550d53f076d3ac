"""What several commands share: options, progress, error printing, files, and the output of scores."""
