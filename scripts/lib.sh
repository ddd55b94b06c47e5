# What the scripts have in common. Sourced, not run.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the scripts that source this use them

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The oldest kernel that does all chapters: chapter 4 passes a struct to a function that the verifier
# looks at once, which kernel commit e5069b9c23b3 brought with 5.13.
OLDEST_KERNEL=5.13
cd "$ROOT" || exit

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Runs a command as root: as it is if we are, else by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

need_root() {
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    die "network namespaces need root: install sudo, or run this as root"
}

need_linux() {
  [ "$(uname -s)" = Linux ] || die "the lab needs Linux: on this machine use the Vagrant VM"
  printf '%s\n' "$OLDEST_KERNEL" "$(uname -r)" | sort -CV ||
    die "kernel $(uname -r) is too old: chapter 4's eBPF programs need $OLDEST_KERNEL or newer; use the Vagrant VM"
  [ -r /sys/kernel/btf/vmlinux ] ||
    die "this kernel has no BTF, from which the later chapters are compiled: use a distribution's kernel (CONFIG_DEBUG_INFO_BTF=y) or the Vagrant VM"
}

need_rust() {
  PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || die "there is no Rust toolchain: install one from https://rustup.rs"
  local oldest
  oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  cargo --version | cut -d' ' -f2 | cat <(echo "$oldest") - | sort -CV ||
    die "$(cargo --version) is too old, $oldest is needed: run rustup update"
}

# need_packages PACKAGE…: installs what is missing, after saying so.
need_packages() {
  local missing=()
  for package; do
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null ||
    die "please install what Debian calls: ${missing[*]}"
  echo "Installing packages: ${missing[*]}"
  as_root apt-get update -qq || die "apt-get update failed"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "could not install: ${missing[*]}"
}

# download_packages FOLDER PACKAGE…: with all that they depend on, whatever this machine has; who
# gets them installs what they lack.
download_packages() {
  local folder=$1
  shift
  as_root apt-get update -qq || die "apt-get update failed"
  apt-get install -qq -y --no-install-recommends --download-only -o Debug::NoLocking=1 \
    -o Dir::State::status=/dev/null -o "Dir::Cache::archives=$(realpath "$folder")" "$@"
  rmdir "$folder/partial"
}

# What building and running the lab takes.
LAB_PACKAGES=(gcc libc6-dev make pkg-config clang bpftool libelf-dev zlib1g-dev iproute2 iputils-ping nftables procps jq busybox-static)
# What the tests take beyond that: faults are injected by strace, a real runtime calls the plugin,
# and iptables closes FORWARD.
TEST_PACKAGES=(strace containerd runc util-linux iptables)

need_lab() {
  need_linux
  need_root
  need_packages "${LAB_PACKAGES[@]}" "$@"
  need_rust
}

# Builds the lab as the caller and sets LAB to the program.
build_lab() {
  # As the lab builds the chapters: see lab/src/chapter.rs.
  local quiet=(--quiet)
  [ ! -t 2 ] || quiet=() # who looks on sees what is being built
  cargo build "${quiet[@]}" --locked --workspace --bin lab || die "the lab does not build"
  LAB=${CARGO_TARGET_DIR:-$ROOT/target}/debug/lab
}

# What a Kubernetes node takes, and its tests.
NODE_PACKAGES=(containerd runc containernetworking-plugins nftables conntrack kmod iproute2 bpftool iputils-ping procps bats)

# What a VM without a network is given, if it is: see scripts/cluster bundle.
BUNDLE=$ROOT/bundle

# plugin_of CHAPTER: the path of its plugin, from the bundle where nothing can be built.
plugin_of() {
  if [ -x "$BUNDLE/plugins/$1" ] && ! command -v cargo >/dev/null; then
    echo "$BUNDLE/plugins/$1"
  else
    need_lab >&2
    build_lab >&2
    "$LAB" build --release "$1" || die "$1 does not build"
  fi
}

# The short names of all chapters, in order.
all_chapters() { find chapters -maxdepth 1 -name 'ch[0-9]*-*' -printf '%f\n' | cut -d- -f1 | sort -V; }

# folder_of CHAPTER: chapters/ch1-basic-cni of ch1.
folder_of() {
  local folders=(chapters/"$1"-*/)
  [ -d "${folders[0]}" ] || die "there is no chapter $1"
  echo "${folders[0]%/}"
}
