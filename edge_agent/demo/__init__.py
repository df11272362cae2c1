"""The demonstration: a conversation on real sound without a Pi or a key, and the pictures it leaves."""
