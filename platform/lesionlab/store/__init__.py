"""The store: one set of keys over file://, s3:// or memory://, and what lies under them: documents, arrays, rows."""
