"""The speed bars; `make bench` measures all of them and prints one table."""
