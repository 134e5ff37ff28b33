"""From an input to a result: the generator, the flows that decide what is sent, and the clients that send it."""
