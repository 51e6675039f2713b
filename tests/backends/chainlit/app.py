# A Chainlit chat that takes its customers from a header, and lets nobody else in.
import chainlit as cl


@cl.header_auth_callback
def customer(headers):
    name = headers.get("x-customer-id")
    return cl.User(identifier=name) if name else None


@cl.on_message
async def answer(message: cl.Message):
    user = cl.user_session.get("user")
    # Chainlit knows a browser again by a cookie of its own. Who it is now, the header says
    # that came with the handshake.
    if cl.context.session.environ.get("HTTP_X_CUSTOMER_ID") != user.identifier:
        await cl.Message(content="Please log in again").send()
        return
    await cl.Message(content=f"You are {user.identifier}, and said {message.content}").send()
