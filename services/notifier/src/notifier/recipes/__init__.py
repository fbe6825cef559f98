"""Standard recipes that a button asks for and another service carries out."""
