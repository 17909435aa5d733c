# What `make serve` makes, as an image: no compiler, no torch, weights inside, nothing running as root.
#
#   docker build -t shoal .
#   docker run --init -p 8080:8080 -v shoal:/data -e SHOAL_API_KEYS="$KEY" shoal
#
# It listens beyond its own loopback, so it refuses to start without a key: SHOAL_API_KEYS has long random ones, comma
# separated; `docker run --rm -v shoal:/data shoal shoal keys create NAME` makes one that lies in the volume.
# A named volume on /data begins with the weights of the image; an empty folder mounted there makes Shoal fetch them.
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 SHOAL_DATA_DIR=/data
WORKDIR /app
# The packages first: they change seldom, the code often.
COPY requirements/serve.txt requirements/
COPY shoal/bootstrap.py shoal/
RUN python3 -I shoal/bootstrap.py serve
COPY . .
# Compiled here, because the user that serves may not write to /app.
RUN .venv/bin/shoal experts pull && .venv/bin/python -m compileall -q -j 0 .venv/lib shoal eval router experts

FROM ${PYTHON_IMAGE}
# llama.cpp's OpenMP; Debian keeps only its newest build, so there is no version to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin shoal
COPY --from=build /app /app
COPY --from=build --chown=shoal:shoal /data /data
ENV PATH=/app/.venv/bin:$PATH SHOAL_DATA_DIR=/data SHOAL_REGISTRY=/app/registry.yaml SHOAL_HOST=0.0.0.0 SHOAL_PORT=8080
WORKDIR /app
USER 10001
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['SHOAL_PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["shoal", "serve"]
