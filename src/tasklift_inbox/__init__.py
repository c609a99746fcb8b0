"""Tasklift Inbox: what customers write on Instagram, Messenger, Telegram, WhatsApp and by e-mail, in one place.

This package is the path that messages take: raw events in, conversations, an outbox out. It stands on
`tasklift_platform` and knows no AI.
"""
