"""uvicorn's fastest HTTP/1.1 protocol, which hangs up on clients whose request head does not come."""

from __future__ import annotations

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from tasklift_platform.web.slow import with_head_timeout

#: From connecting, or from a request's first byte, to the end of its head.
HEAD_TIMEOUT_S = 5.0
Protocol = with_head_timeout(AutoHTTPProtocol, HEAD_TIMEOUT_S)
