# The hub, one image for all of its services. HEALTHCHECK is left to docker-compose.yaml: it differs by service.
# A package index of your own: docker build --secret id=pip.conf,src=$HOME/.config/pip/pip.conf .
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/hub
COPY requirements.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip install --quiet --require-hashes --requirement requirements.lock
COPY . .
# What only tests and lint need is taken out again; `pip check` proves that nothing else needed it.
RUN pip install --quiet --no-deps --no-build-isolation --editable . \
 && pip uninstall --quiet --yes hypothesis import-linter mypy pandas-stubs playwright pytest pytest-cov \
        pytest-xdist ruff types-jsonschema types-openpyxl types-PyYAML types-requests uv \
 && pip check \
 && python -m compileall -q -f hub connectors schemas dags plugins

FROM python:3.11-slim-bookworm
# Whoever runs the hub owns nothing of its program. Fresh volumes take these folders' owner and mode.
RUN groupadd --gid 10001 hub \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin hub \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/hub /var/lib/hub-keys /var/lib/hub-journal
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/hub /opt/hub
ENV PATH=/opt/venv/bin:$PATH LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/hub
CMD ["hub", "--help"]
