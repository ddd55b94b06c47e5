# Kernels of Debian's suites, and the modules of the network that come with them. Sourced by
# test-kernels, which sets $suite, and $work, where all of it goes.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # $kernel is for whoever sources this; $suite and $work are theirs

# This machine's own.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt-get's own variables
  mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n1)
  [ "$mirror" ] || die "apt-get knows no Debian mirror: run apt-get update"
  echo "$mirror"
}

# apt-get for packages of another suite, without a trace in this machine's lists.
apt_of() {
  apt-get -qq -o Dir::Etc::SourceList="$work/$suite.list" -o Dir::Etc::SourceParts=- -o APT::Sandbox::User=root \
    -o Dir::State::Lists="$work/$suite" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" "$@"
}

# Sets $kernel, and puts its initrd beside it.
kernel_of() {
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg package
  mkdir -p "$work/$suite/partial" "$work/cache/archives/partial"
  echo "deb [signed-by=$keys] $mirror $suite main" >"$work/$suite.list"
  apt_of update || die "cannot read the packages of $suite"
  # linux-image-cloud-amd64 is empty, and depends on the newest one.
  package=$(apt_of -s install linux-image-cloud-amd64 | sed -n 's/^Inst \(linux-image-[0-9]\S*\).*/\1/p')
  [ "$package" ] || die "$suite has no kernel for clouds"
  (cd "$work/$suite" && apt_of download "$package" && dpkg -x linux-image-*.deb .)
  kernel=$(echo "$work/$suite"/boot/vmlinuz-*)
  make_modules "$work/$suite/initrd/lib/modules/${kernel##*/vmlinuz-}" "${kernel##*/vmlinuz-}"
}

cpio_of() { (cd "$1" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1; }

# make_modules FOLDER VERSION: of the network, beside the programs.
make_modules() {
  local from
  from=$(find "$work/$suite" -type d -path "*lib/modules/$2")
  mkdir -p "$1/kernel/drivers/net" && cp "$from"/modules.{builtin*,order} "$1"
  cp -r "$from"/kernel/{net,lib,crypto} "$1/kernel" && cp "$from"/kernel/drivers/net/veth.ko* "$1/kernel/drivers/net"
  find "$1" -name '*.xz' -exec unxz {} +
  PATH=$PATH:/usr/sbin depmod -b "$work/$suite/initrd" "$2"
  cat "$work/root.gz" <(cpio_of "$work/$suite/initrd") >"$work/$suite/initrd.gz"
}
