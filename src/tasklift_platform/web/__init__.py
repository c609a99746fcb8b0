"""What every web application of ours stands on: pure ASGI around any Starlette or FastAPI application."""
