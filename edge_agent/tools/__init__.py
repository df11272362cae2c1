"""Functions the model may call: how they are declared, found, and run."""
