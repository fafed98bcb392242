# SPDX-License-Identifier: MIT
# crypto-tracer in a container: a Python, and the single file. Nothing in it needs a shell.
#
#   docker build -t crypto-tracer .                         python:slim underneath, runs as root with few capabilities
#   docker build -t crypto-tracer --target nonroot .        the same as user 65532, for runtimes with ambient capabilities
#   docker build -t crypto-tracer --target minimal .        Python and the C library alone: no shell, no package manager
#   docker build -t crypto-tracer --target minimal-nonroot .
#
# How to run it: docs/deploy.md. The same sources and the same base give the same image:
# podman build --timestamp "$(git log -1 --format=%ct)", or SOURCE_DATE_EPOCH and rewrite-timestamp with BuildKit.

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY . .
# Without a network: `pip download -r requirements-zipapp.txt -d build/wheelhouse` beforehand.
RUN if [ -d build/wheelhouse ]; then set -- --no-index --find-links build/wheelhouse; fi; \
    python3 -m pip install --quiet --root-user-action ignore --no-compile --no-deps --target /vendor "$@" \
        -r requirements-zipapp.txt \
    && PYTHONPATH=/vendor PYTHONDONTWRITEBYTECODE=1 python3 tools/build_zipapp.py --output /out/crypto-tracer.pyz \
    && python3 tools/image_root.py /minimal

FROM ${PYTHON} AS slim
LABEL org.opencontainers.image.title="crypto-tracer" \
      org.opencontainers.image.description="Shows which cryptography a Linux host really uses, live from the kernel" \
      org.opencontainers.image.licenses="MIT AND (MIT OR GPL-2.0-only)" \
      org.opencontainers.image.vendor="pybpfload authors"
COPY --from=build /out/crypto-tracer.pyz /crypto-tracer.pyz
ENTRYPOINT ["python3", "-I", "/crypto-tracer.pyz"]
CMD ["monitor", "--metrics", "127.0.0.1:9477"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["python3", "-I", "/crypto-tracer.pyz", "health"]
STOPSIGNAL SIGTERM

FROM slim AS nonroot
USER 65532:65532

FROM scratch AS minimal
LABEL org.opencontainers.image.title="crypto-tracer" \
      org.opencontainers.image.description="Shows which cryptography a Linux host really uses, live from the kernel" \
      org.opencontainers.image.licenses="MIT AND (MIT OR GPL-2.0-only)" \
      org.opencontainers.image.vendor="pybpfload authors"
COPY --from=build /minimal /
COPY --from=build /out/crypto-tracer.pyz /crypto-tracer.pyz
ENV PATH=/usr/local/bin:/usr/bin
ENTRYPOINT ["python3", "-I", "/crypto-tracer.pyz"]
CMD ["monitor", "--metrics", "127.0.0.1:9477"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["python3", "-I", "/crypto-tracer.pyz", "health"]
STOPSIGNAL SIGTERM

FROM minimal AS minimal-nonroot
USER 65532:65532

# What is built when no target is named.
FROM slim
