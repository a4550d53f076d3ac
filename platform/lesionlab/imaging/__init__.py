"""Read, resample, register and normalise volumes; label lesions."""
