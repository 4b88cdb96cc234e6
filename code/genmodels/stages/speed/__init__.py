"""What was timed: one stage a ratio, measured side by side in one run."""
