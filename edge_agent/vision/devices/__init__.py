"""The cameras that `camera.source` can name; each module is imported only when named."""
