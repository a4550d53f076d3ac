"""Draw figures: readable in greyscale, axes with units, the same bytes each time. All wording comes from words."""
