"""Study volumes and a run in; a trained network out: in one process, over several workers, or many runs as a sweep."""
