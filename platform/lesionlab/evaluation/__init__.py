"""Predict lesions in native space and score them against reference masks, per study and per lesion."""
