"""What `edge-agent bench` measures, with the budget beside each figure."""
