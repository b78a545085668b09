"""The S3 applier: an append-only feed of changes in files, its settings, object names, position and Athena's DDL."""
