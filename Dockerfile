# An image that answers on a CPU, with kernels that are compiled and no compiler:
#     docker build --tag spikemba .
#     docker run --rm --volume "$PWD:/data" spikemba ground VIDEO "SENTENCE"
# tests/container/run.py carries these lines out where there is no Docker. docs/containers.md says more.

FROM debian:bookworm-slim AS wheel
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir build "hatchling>=1.27"
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY spikemba/ spikemba/
COPY pipelines/ pipelines/
COPY spikemba_cli/ spikemba_cli/
COPY configs/ configs/
COPY examples/shapes.mp4 examples/
RUN SPIKEMBA_WHEEL_KERNELS=1 /opt/build/bin/python -m build --wheel --no-isolation --outdir /wheels

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Where PyTorch publishes its builds without CUDA. That index holds little else, so what they need comes with the rest.
ARG TORCH_CPU=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/spikemba/bin:$PATH
COPY constraints.txt /opt/constraints.txt
RUN python3 -m venv /opt/spikemba \
    && (pip install --no-cache-dir --constraint /opt/constraints.txt --index-url "$TORCH_CPU" --no-deps --retries 1 \
            torch torchvision torchaudio \
        || echo "no PyTorch from $TORCH_CPU: going on with the ordinary build, which is larger" >&2)
COPY --from=wheel /wheels/ /opt/built/
RUN pip install --no-cache-dir --constraint /opt/constraints.txt "$(echo /opt/built/*.whl)[serve]"
# What is kept between runs lies in /cache, one's own files in /data.
RUN useradd --uid 1000 --create-home spikemba && mkdir /cache /data && chown spikemba:spikemba /cache /data
ENV SPIKEMBA_CACHE=/cache HF_HOME=/cache/huggingface
VOLUME ["/cache", "/data"]
USER spikemba
WORKDIR /data
ENTRYPOINT ["spikemba"]
