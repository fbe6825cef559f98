"""How the world reaches tips: the two endpoints of M14 and M15, and the admin endpoint."""
