"""Persian text: cleaning, normalisation, byte-pair encoding, token arrays and n-gram data sets."""
