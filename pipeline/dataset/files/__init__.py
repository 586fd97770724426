"""Data files: PNG images inside Parquet, encoded, decoded and scanned."""
