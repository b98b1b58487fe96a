# One image for every cloud, in two targets: `trainer` (train, worker, doctor) and `console` (serve; no torch).
#
#   lorafleet image build --target trainer --base nvidia/cuda:13.2.1-base-ubuntu24.04@sha256:…
#
# BASE_IMAGE is an image by digest of the Debian family, with Python 3.11 or newer among its packages. For the trainer it is NVIDIA's
# smallest: torch's wheels bring the CUDA libraries. For the console any will do, such as debian:trixie-slim.
ARG BASE_IMAGE

# What both targets share: an interpreter, an init that passes signals on and reaps, and a user who is not root.
FROM ${BASE_IMAGE} AS python
# Logs and caches hold dates: with them the same source would give another digest each time.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* /var/lib/dpkg/*-old \
 && echo 'lorafleet:x:10001:' >> /etc/group \
 && echo 'lorafleet:x:10001:10001::/scratch:/usr/sbin/nologin' >> /etc/passwd \
 && install --directory --owner=10001 --group=10001 --mode=0770 /scratch /data
# The root may be read-only: everything is written below /scratch (home, caches, a worker's jobs), /data (the console's) and /tmp.
ENV HOME=/scratch \
    PATH=/opt/lorafleet/bin:/opt/lorafleet/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONUNBUFFERED=1

# uv, from its own lock. Nothing of this stage stays in an image: the others mount it while they install.
FROM python AS installer
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
ARG PACKAGE_INDEX=https://pypi.org/simple
COPY requirements/uv.txt /tmp/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /uv \
 && /uv/bin/pip --cert /etc/ssl/certs/ca-certificates.crt install --quiet --no-cache-dir --index-url "${PACKAGE_INDEX}" \
    --require-hashes -r /tmp/uv.txt
COPY requirements/install.sh /uv/bin/

# The project's own code, compiled, and the command that both targets start with.
FROM python AS code
COPY lorafleet /opt/lorafleet/code/lorafleet
COPY pipelines /opt/lorafleet/code/pipelines
COPY trainer /opt/lorafleet/code/trainer
ARG REVISION=unknown
# The revision is in a file, too: for buildah 1.28 a label with another argument is no other label, and it would take the last
# build's from its cache.
RUN mkdir /opt/lorafleet/bin \
 && echo "${REVISION}" > /opt/lorafleet/revision \
 && printf '#!/opt/lorafleet/venv/bin/python\nimport sys\n\nfrom lorafleet.cli import main\n\nsys.exit(main())\n' \
    > /opt/lorafleet/bin/lorafleet \
 && chmod -R u=rwX,go=rX /opt/lorafleet \
 && chmod 0755 /opt/lorafleet/bin/lorafleet \
 && PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /opt/lorafleet/code

FROM python AS console
ARG PACKAGE_INDEX=https://pypi.org/simple
COPY requirements/console.txt /opt/lorafleet/requirements/
RUN --mount=type=bind,from=installer,source=/uv,target=/mnt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    UV_DEFAULT_INDEX="${PACKAGE_INDEX}" /mnt/bin/install.sh /opt/lorafleet/requirements/console.txt
COPY --from=code /opt/lorafleet /opt/lorafleet
VOLUME ["/data"]
EXPOSE 8400
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["/usr/bin/tini", "--", "lorafleet"]
# On loopback: for others it wants to be told its public https:// address.
CMD ["serve", "--dir", "/data"]
ARG BASE_IMAGE
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lorafleet console" \
      org.opencontainers.image.description="The page, API, dispatcher and guard of a fleet that trains LoRAs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

FROM python AS trainer
ARG PACKAGE_INDEX=https://pypi.org/simple
# The heaviest and rarest first: torch with its CUDA libraries, then all other packages, then the code.
COPY requirements/torch.txt /opt/lorafleet/requirements/
RUN --mount=type=bind,from=installer,source=/uv,target=/mnt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    UV_DEFAULT_INDEX="${PACKAGE_INDEX}" /mnt/bin/install.sh /opt/lorafleet/requirements/torch.txt
COPY requirements/trainer.txt /opt/lorafleet/requirements/
RUN --mount=type=bind,from=installer,source=/uv,target=/mnt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    UV_DEFAULT_INDEX="${PACKAGE_INDEX}" /mnt/bin/install.sh /opt/lorafleet/requirements/trainer.txt
COPY --from=code /opt/lorafleet /opt/lorafleet
# What NVIDIA's container toolkit puts into the container from the host's driver.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
VOLUME ["/scratch"]
USER 10001:10001
WORKDIR /scratch
ENTRYPOINT ["/usr/bin/tini", "--", "lorafleet"]
CMD ["worker"]
ARG BASE_IMAGE
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lorafleet trainer" \
      org.opencontainers.image.description="Trains LoRAs, alone or as a worker of the fleet" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
