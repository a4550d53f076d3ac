"""Read and write documents, arrays and rows in a store: one set of keys over file://, s3:// or memory://."""
