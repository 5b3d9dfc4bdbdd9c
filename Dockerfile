# For systems that are not Linux, or that one would rather not touch:
#   docker build -t hairpin . && docker run --privileged --rm -it hairpin lab.up clusterip
# A lab lives as long as its container: to keep one and look around, start a shell in it:
#   docker run --privileged --rm -it --entrypoint bash hairpin
FROM debian:12-slim
COPY . /hairpin
WORKDIR /hairpin
RUN scripts/setup && rm -rf /var/lib/apt/lists/* /root/.cache
ENV PATH="/hairpin/.venv/bin:$PATH"
ENTRYPOINT ["scripts/invoke"]
CMD ["--list"]
