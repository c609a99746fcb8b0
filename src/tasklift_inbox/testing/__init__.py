"""Fakes that speak the providers' documented APIs over HTTP: for the inbox's own tests, and for yours."""

from tasklift_inbox.testing.delivery import Delivery, sign
from tasklift_inbox.testing.meta import FakeMeta
from tasklift_inbox.testing.oauth import FakeOAuth
from tasklift_inbox.testing.server import running
from tasklift_inbox.testing.telegram import FakeTelegram

__all__ = ["Delivery", "FakeMeta", "FakeOAuth", "FakeTelegram", "running", "sign"]
