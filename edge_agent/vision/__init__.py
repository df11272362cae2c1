"""The camera: stills on demand, from a Pi camera, a USB webcam or a folder of pictures."""
