# Makes a Debian box for Vagrant's libvirt provider: what there is to download elsewhere, and only
# what the test of the Vagrantfile needs. Sourced.
# shellcheck shell=bash

BOX=$WORK/debian-12.box
BOX_PACKAGES=(systemd-sysv systemd-resolved dbus udev libpam-systemd openssh-server sudo rsync iproute2 zstd procps
  linux-image-cloud-amd64 initramfs-tools kmod ca-certificates)

build_box() {
  [ ! -e "$BOX" ] || return 0
  local root=$WORK/root disk=$WORK/disk.raw mount=$WORK/mount
  rm -rf "$root" "$disk"
  mkdir -p "$mount"
  echo "Making a Debian box: packages …"
  debootstrap --variant=minbase --include="$(IFS=, && echo "${BOX_PACKAGES[*]}")" bookworm "$root" >"$WORK/debootstrap.log" ||
    die "see $WORK/debootstrap.log"
  configure_root "$root"

  echo "Making a Debian box: disk …"
  # One partition from 1 MiB on; its file system is made where it will be, and needs no device.
  truncate -s 20G "$disk"
  sfdisk -q "$disk" <<<'2048,,L,*'
  mkfs.ext4 -qF -O '^64bit,^metadata_csum' -i 65536 -E offset=1048576 -d "$root" "$disk" 20970496k
  mount -o loop,offset=1048576 "$disk" "$mount"
  extlinux --install "$mount/boot" >/dev/null 2>&1 || die "extlinux cannot be installed on $disk"
  umount "$mount"
  dd if=/usr/lib/EXTLINUX/mbr.bin of="$disk" conv=notrunc status=none

  qemu-img convert -c -O qcow2 -o compression_type=zstd "$disk" "$WORK/box.img"
  echo '{"provider":"libvirt","format":"qcow2","virtual_size":20}' >"$WORK/metadata.json"
  echo 'Vagrant.configure("2") { }' >"$WORK/Vagrantfile"
  tar -cf "$BOX.new" -C "$WORK" metadata.json Vagrantfile box.img
  mv "$BOX.new" "$BOX"
  rm -rf "$root" "$disk" "$mount" "$WORK"/{box.img,metadata.json,Vagrantfile}
}

# What Vagrant asks of a box: a user with its public key and sudo, SSH, and DHCP.
configure_root() {
  local root=$1
  chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 vagrant
  echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
  install -d -m 700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
  install -m 600 -o 1000 -g 1000 "$(dpkg -L vagrant | grep keys/vagrant.pub)" "$root/home/vagrant/.ssh/authorized_keys"
  printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n[DHCPv4]\nClientIdentifier=mac\n' >"$root/etc/systemd/network/eth0.network"
  systemctl --root "$root" -q enable systemd-networkd systemd-resolved
  systemctl --root "$root" -q mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer
  # The initramfs holds what a virtual disk needs, no more: unpacking it is slow.
  sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
  printf 'virtio_pci\nvirtio_blk\n' >>"$root/etc/initramfs-tools/modules"
  chroot "$root" update-initramfs -u >/dev/null
  printf '%s\n' 'DEFAULT linux' 'LABEL linux' 'KERNEL ../vmlinuz' 'INITRD ../initrd.img' \
    'APPEND root=/dev/vda1 rw net.ifnames=0 biosdevname=0 console=ttyS0,115200 mitigations=off' >"$root/boot/extlinux.conf"
}
