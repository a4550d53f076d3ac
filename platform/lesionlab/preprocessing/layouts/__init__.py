"""Find the files of each study, by role, in a dataset of any supported layout; report faulty studies."""
