#!/usr/bin/env bash
# Runs a command where `vagrant` works without virtualisation and leaves nothing: libvirtd in
# network, mount and process namespaces of its own, which end with the command. There is no way
# out of this network: the VM has what is in bundle/.
# Usage: emulate.sh WORK COMMAND…
set -euo pipefail
work=$1
shift
cd "$(dirname "$0")"

ip link set lo up
mkdir -p "$work"/{libvirt,vagrant} /var/lib/libvirt /run/libvirt
mount --bind "$work/libvirt" /var/lib/libvirt
mount -t tmpfs run /run
mount -t tmpfs etc /etc/libvirt
cat >/etc/libvirt/qemu.conf <<'END'
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
END
cat >/etc/libvirt/libvirtd.conf <<'END'
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
END
# A /dev/kvm that does not work makes libvirtd hang: none at all.
if [ -e /dev/kvm ]; then
  install -m 000 /dev/null /run/no-kvm
  mount --bind /run/no-kvm /dev/kvm
fi
libvirtd --daemon
until virsh -q list >/dev/null 2>&1; do sleep 0.2; done
mkdir -p /var/lib/libvirt/images
virsh -q pool-define-as default dir --target /var/lib/libvirt/images
virsh -q pool-start default

export VAGRANT_HOME=$work/vagrant VAGRANT_DEFAULT_PROVIDER=libvirt VAGRANT_CHECKPOINT_DISABLE=1
export VAGRANT_DOTFILE_PATH=$work/dotfiles
cp emulated.Vagrantfile "$VAGRANT_HOME/Vagrantfile"
cd ..
"$@"
