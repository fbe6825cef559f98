"""How the world reaches refunds: HTTP, the two queues, operators, and the worker that carries refunds on."""
