"""Sound: the pure engine that is stepped once per block, its filters and queues, and the thread around it."""
