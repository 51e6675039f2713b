# A Chainlit chat that takes its customers from a header, and lets nobody else in.
import chainlit as cl


@cl.header_auth_callback
def customer(headers):
    name = headers.get("x-customer-id")
    return cl.User(identifier=name) if name else None


@cl.on_message
async def answer(message: cl.Message):
    user = cl.user_session.get("user")
    await cl.Message(content=f"You are {user.identifier}, and said {message.content}").send()
