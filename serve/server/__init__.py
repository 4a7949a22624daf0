"""The OpenAI-compatible HTTP front, before the engine or before another server.

settings.py    ServerSettings: where it listens, and its limits
asked/         JSON of requests: read, checked, refused in one line
text/          token ids and text: detokenisation, stop strings, tool calls
answer/        completions as they grow, and OpenAI's JSON of them
limits/        API keys, their limits, and the bounded queue
local.py       the front before an engine          upstream.py   the front before another server
checks.py      rails in the path of a request      bridge.py     from the engine's thread to the event loop
endpoint.py    what every request passes: key, body, time, disconnects, log
app.py         the routes                          run.py        sockets, signals, the end
"""
