# Builds Kubernetes, etcd and CoreDNS from their Go modules, and images of them. Sourced.
# shellcheck shell=bash
# shellcheck disable=SC2034  # whoever sources this uses them

KUBERNETES_VERSION=$(sed -n 's/^\tk8s.io\/kubernetes //p' cluster/kubernetes/go.mod)
BUSYBOX_IMAGE=docker.io/library/busybox:1.35
PROGRAMS=$CLUSTER/programs
IMAGES=$CLUSTER/images.tar

need_go() {
  PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || die "there is no Go toolchain: install one from https://go.dev/dl"
  local oldest
  oldest=$(sed -n 's/^go //p' cluster/*/go.mod | sort -V | tail -n1)
  go env GOVERSION | sed 's/^go//' | cat <(echo "$oldest") - | sort -CV ||
    die "$(go env GOVERSION) is too old, $oldest is needed: see https://go.dev/dl"
}

# What upstream's build writes into its programs; clients and servers compare it.
version_flags() {
  local package=k8s.io/component-base/version minor=${KUBERNETES_VERSION#v1.}
  echo "-X $package.gitVersion=$KUBERNETES_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
}

build_programs() {
  local program
  mkdir -p "$PROGRAMS"
  [ -e "$PROGRAMS/images" ] || echo "The first build downloads 0.4 GB of modules and takes about 8 minutes on two cores."
  for program in etcd coredns kubernetes images; do
    echo "Building $program …"
    (cd "cluster/$program" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false \
      go build -trimpath -ldflags "-s -w $(version_flags)" -o "$PROGRAMS/$program" .) ||
      die "$program does not build"
  done
  for program in kubeadm kubectl kubelet; do
    ln -sf kubernetes "$PROGRAMS/$program"
  done
}

build_images() {
  local names
  [ -z "$(find "$PROGRAMS" -type f -newer "$IMAGES" 2>&1)" ] && return
  echo "Writing images …"
  mapfile -t names < <("$PROGRAMS/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
  "$PROGRAMS/images" "$PROGRAMS" "$IMAGES" "${names[@]}" "$BUSYBOX_IMAGE" || die "no images"
}
