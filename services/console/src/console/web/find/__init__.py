"""One box that finds things by what people have in hand."""
