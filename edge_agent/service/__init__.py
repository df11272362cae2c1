"""What makes a program a service: control socket, metrics, state file, systemd notices, logs."""
