"""Base64 taken out of bytes while they arrive: extractor, decoder, sinks, the growing answer. No HTTP library."""
