"""The console and ``ordersctl``: clients of the five services' HTTP endpoints, without data or rights of their own."""
