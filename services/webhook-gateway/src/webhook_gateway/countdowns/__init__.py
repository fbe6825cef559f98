"""Orders that a marketplace will cancel because we did not answer it in time."""
