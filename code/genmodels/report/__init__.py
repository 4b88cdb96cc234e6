"""What the document shows: a module a section, its tables and figures together. Results are handed in."""
