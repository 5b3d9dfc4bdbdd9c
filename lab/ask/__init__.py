"""The client side: requests, by sockets of our own and by curl, and the ports that they are made from."""
