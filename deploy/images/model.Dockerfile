# A bundle as an image, with the bundle's folder as context:
#   docker build -f deploy/images/model.Dockerfile -t dragoman-model:dev models/en-pt                  to be copied
#   docker build -f deploy/images/model.Dockerfile --target volume -t dragoman-model:en-pt-1 models/en-pt   to be mounted
FROM scratch AS volume
COPY . /bundle

FROM busybox:1.37
COPY --from=volume /bundle /bundle
USER 10001:10001
CMD ["cp", "-R", "/bundle", "/models/"]
