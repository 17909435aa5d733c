"""OpenAI's Responses: a conversation in items, kept between requests."""
