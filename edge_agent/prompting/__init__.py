"""The device's own sentences, recorded once in the model's voice: `edge-agent prompts`."""
