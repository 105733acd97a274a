"""Text to ids and back: WordPiece in Python and on the `tokenizers` library, behind one face."""
