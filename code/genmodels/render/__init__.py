"""The document: read, execute once, write, by Quarto or without it; and handing it in."""
