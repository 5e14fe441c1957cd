"""A program in this process, led to a world's transport, clock and chance while it runs; it knows nothing of it.

It is ordinary blocking code inside tasks (`sandbox.tasks`). What it does over sockets of this process, what it sleeps,
which time it reads and what it draws by chance is the world's; what cannot be led there is refused in one sentence.
"""
