"""Runs in the child process: serves one GGUF file through llama.cpp on a Unix socket until the parent is gone.

python -P -m experts.engines.launch_llama_cpp --engine=xllamacpp --model=FILE --alias=ID --socket=PATH ...
"""

from __future__ import annotations

import argparse
import sys
import threading

from experts.extras import install
from experts.process import leash

BATCH_TOKENS = 512
"""Prompt tokens worked on before the engine looks up: a cancelled request stops, and other slots go on, that soon."""
SPARE_THREADS = 4
"""HTTP threads beside two per slot: an idle connection keeps one, and the health probe must always find one."""
DATA_HEADROOM_MB = 512
"""Beyond twice the registry's memory_mb: stacks, buffers of the HTTP threads, the interpreter."""


def main() -> None:
    """Give up power, load the model, serve. Ends with one line on stderr when that cannot be."""
    options = _options()
    leash.leave_network()
    leash.tie()
    leash.limit(data_mb=2 * options.memory_mb + DATA_HEADROOM_MB)
    {"xllamacpp": _serve_xllamacpp, "llama-cpp-python": _serve_llama_cpp_python}[options.engine](options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["xllamacpp", "llama-cpp-python"], required=True)
    for name in ("model", "alias", "socket"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("context", "slots", "threads", "memory-mb"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


def _serve_xllamacpp(options: argparse.Namespace) -> None:
    try:
        import xllamacpp
    except ImportError as error:
        sys.exit(f"xllamacpp cannot be imported ({error}); pip install xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = [options.socket]
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots  # llama.cpp divides it among the slots
    params.n_batch = BATCH_TOKENS
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.n_threads_http = 2 * options.slots + SPARE_THREADS
    params.fit_params = False  # the context is what the registry says, not what llama.cpp thinks fits
    params.cache_ram_mib = 0  # prompts kept beside the slots would grow past memory_mb
    params.prefill_assistant = False  # an assistant's last message is said already, not to be gone on with
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = ""
    params.verbosity = 1  # errors only: what it says is kept, and requests are no one's business
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(f"xllamacpp cannot serve {options.model}: {error}")
    print(f"serving on {server.listening_address}", file=sys.stderr)
    threading.Event().wait()  # the server lives as long as the object


def _serve_llama_cpp_python(options: argparse.Namespace) -> None:
    try:
        import uvicorn
        from llama_cpp.server.app import create_app
        from llama_cpp.server.settings import ModelSettings, ServerSettings
    except ImportError as error:
        sys.exit(f"llama-cpp-python cannot be imported ({error}). Remedy: {install('llama-cpp-python')}")
    model = ModelSettings(
        model=options.model,
        model_alias=options.alias,
        n_ctx=options.context,
        n_batch=BATCH_TOKENS,
        n_threads=options.threads,
        n_threads_batch=options.threads,
        logits_all=True,  # without it there are no log-probabilities; takes context x vocabulary x 4 bytes as it fills
        verbose=True,  # else it hides why a model cannot be loaded
    )
    # interrupt_requests would cut one client's stream as soon as another asks
    server = ServerSettings(interrupt_requests=False, disable_ping_events=True)
    try:
        app = create_app(server_settings=server, model_settings=[model])
    except (ValueError, RuntimeError) as error:
        sys.exit(f"llama-cpp-python cannot serve {options.model}: {error}")
    # /v1/models waits for the model's lock, so a busy server would look like a hung one
    app.add_api_route("/health", lambda: {"status": "ok"})
    uvicorn.run(app, uds=options.socket, log_level="error")


if __name__ == "__main__":
    main()
