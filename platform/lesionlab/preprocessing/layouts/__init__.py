"""A dataset in, whatever its layout; the files of each study by role, and what the faulty ones lack, out."""
