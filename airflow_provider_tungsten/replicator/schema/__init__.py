"""What the source's tables look like at one moment of its log, kept in step by the DDL met in it."""
