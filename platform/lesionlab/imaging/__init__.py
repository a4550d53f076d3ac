"""Volumes in space: reading, resampling, intensities and lesions; arrays in, arrays out."""
