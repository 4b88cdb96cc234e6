"""Raw files to verified tensors and documents: found, fetched, checked, read."""
