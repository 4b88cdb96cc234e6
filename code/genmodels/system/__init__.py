"""The machine: files, folders, processes, precision, time. Knows no model and no Persian."""
