"""The arithmetic of attention (question 2.6): exact quantities, counted operations, timed growth."""
