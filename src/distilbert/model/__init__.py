"""The encoder, its heads and the classes that users name."""
