"""How saved state travels: the stream, its channels, and the sections too large for one piece."""
