# The server on CPUs, from the repository's root: docker build -f deploy/images/cpu.Dockerfile -t dragoman:dev .
# With the library for grammars: --build-arg EXTRAS=cpu,grammar
FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=cpu
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY proto proto
COPY server server
COPY export export
COPY client client
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/dragoman \
    && wheel=$(echo /wheels/dragoman-*.whl) \
    && /opt/dragoman/bin/pip install --no-cache-dir --constraint constraints.txt "${wheel}[${EXTRAS}]" \
    && /opt/dragoman/bin/python -m compileall -q /opt/dragoman/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/dragoman /opt/dragoman
# Nothing is written: the root file system may be read-only.
ENV PATH=/opt/dragoman/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 50051 9464
ENTRYPOINT ["dragoman"]
CMD ["serve"]
