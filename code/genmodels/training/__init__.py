"""The one training loop and what it needs. Knows no model by name."""
