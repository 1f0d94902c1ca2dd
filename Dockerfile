# The image of lottery: Node and /app/lottery.cjs, on the PATH as `lottery`, beside what it loads.
# It runs as a user of its own; all of it but the volume /data and a tmpfs on /tmp may be read-only.
# A client finds its book in .data where that is mounted at /lottery/.data.
#   docker build --tag lottery . && docker run --rm lottery demo
#   docker run --publish 12345-12346:12345-12346 --volume lottery:/data lottery server
#
# The base image is pinned by its digest. It has the Node of package-lock.json: raise both together.
#   docker buildx imagetools inspect node:VERSION-bookworm-slim   # shows the digest of another one

FROM node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2 AS build
WORKDIR /build
# Apart from the sources: while these files stay the same, so does the layer of the packages.
COPY package.json package-lock.json ./
COPY runtime runtime
RUN npm ci --ignore-scripts
COPY build.ts ./
COPY src src
# A link stays one only inside a folder that is copied: builders follow one that is copied itself.
RUN node build.ts \
  && rm dist/.npmignore \
  && mkdir -p image/usr/local/bin data \
  && mv dist image/app \
  && ln -s ../../../app/lottery.cjs image/usr/local/bin/lottery

FROM node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2
LABEL org.opencontainers.image.title="lottery" \
  org.opencontainers.image.description="The central of a national lottery, and its agencies"
COPY --from=build /build/image/ /
# A new volume takes over this folder's owner. A number needs no entry in /etc/passwd, and shows
# whoever refuses to run root (Kubernetes' runAsNonRoot) that this is not root.
COPY --from=build --chown=10001:10001 /build/data/ /data/
ENV NODE_ENV=production LOTTERY_STORE=sqlite:/data/lottery.db
WORKDIR /lottery
USER 10001:10001
EXPOSE 12345 12346
STOPSIGNAL SIGTERM
# Node itself is process 1, without a shell in between: it gets the signal, and stops in good order.
ENTRYPOINT ["node", "/app/lottery.cjs"]
