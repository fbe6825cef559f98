"""``ordersctl``: the suite from a terminal."""
