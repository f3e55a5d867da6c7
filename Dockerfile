# An image that runs Facsimile; docs/operations.md says how.
FROM python:3.11-slim-bookworm

# git: results are traced to commits, and versions of the dataset are git tags.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/facsimile
COPY requirements.lock .
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && git config --system --add safe.directory /project

# The project: a clone, mounted by whoever runs the image, with that user's id.
WORKDIR /project
ENTRYPOINT ["facsimile"]
