"""The document without Quarto: read, execute, weave, write; and handing it in."""
