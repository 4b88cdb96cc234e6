"""Language models: recurrent network, Transformer, perplexity and generation."""
