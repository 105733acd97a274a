"""Adapters: small trained parts that hang in the encoder, and how they are combined."""
