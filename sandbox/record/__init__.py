"""Between a program and real APIs: what they say is kept, redacted, held against their specs, and can begin a world."""
