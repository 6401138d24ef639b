# The server on NVIDIA GPUs, from the repository's root: docker build -f deploy/images/gpu.Dockerfile -t dragoman:dev-gpu .
# With the library for grammars: --build-arg EXTRAS=gpu,grammar
FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=gpu
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
# CUDA and cuDNN came as wheels, the driver comes from the host. Nothing is written: the root may be read-only.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/dragoman/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 50051 9464
ENTRYPOINT ["dragoman"]
CMD ["serve"]
