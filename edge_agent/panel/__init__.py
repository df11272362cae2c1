"""Button and light: pins through gpiozero, patterns as data, debouncing on our own clock."""
