#!/bin/sh
# The system packages that tests and benchmarks use, each with its reason.
# Installs what is missing where apt-get can be used (root, or sudo without a
# password); elsewhere says what is missing. Tests that lack a program are
# skipped with a visible line, so this ends with 0 unless --strict is given.
set -eu
cd "$(dirname "$0")"

strict=no
[ "${1:-}" = --strict ] && strict=yes

# program (or file) | Debian package | what it is for
table='
qemu-system-riscv64|qemu-system-misc|the outside oracle for machines, and the peer of the benchmarks
qemu-riscv64|qemu-user|the outside oracle for single instructions
qemu-img|qemu-utils|disk images to compare ours with
dtc|device-tree-compiler|reads the device trees that boards generate
iasl|acpica-tools|reads the ACPI tables that the PC boards generate
qemu-system-x86_64|qemu-system-x86|the outside oracle for PCs
cc|gcc libc6-dev|builds the programs that ask the host processor and QEMU what an instruction does
objdump|binutils|the outside oracle for decoders
riscv64-linux-gnu-gcc|gcc-riscv64-linux-gnu|builds the guest programs of the benchmarks
cpio|cpio|the other side of the initial ramdisk tests
xz|xz-utils|makes the archives that the fetching tests serve
'

# gcc builds for its own processor's older sister only there. gcc-multilib itself cannot be installed beside a cross
# compiler, and apt-get would install nothing at all; what it depends on can.
multilib() {
  apt-cache depends gcc-multilib 2> /dev/null | sed -n 's/^ *Depends: \(gcc-[0-9]*-multilib\)$/\1/p'
}
case $(uname -m) in
  x86_64) [ -e /usr/lib32/crt1.o ] || table="$table/usr/lib32/crt1.o|$(multilib)|builds the i386 guest programs of the benchmarks
" ;;
esac

missing= packages=
while IFS='|' read -r program package reason; do
  [ -n "$program" ] || continue
  case $program in
    /*) [ -e "$program" ] && continue ;;
    *) command -v "$program" > /dev/null 2>&1 && continue ;;
  esac
  missing="$missing  $program (Debian package $package): $reason
"
  packages="$packages $package"
done << TABLE
$table
TABLE

[ -n "$packages" ] || exit 0

if command -v apt-get > /dev/null 2>&1; then
  if [ "$(id -u)" = 0 ]; then
    root=
  elif command -v sudo > /dev/null 2>&1 && sudo -n true 2> /dev/null; then
    root='sudo -n'
  else
    root=none
  fi
  if [ "$root" != none ]; then
    echo "installing system packages:$packages" >&2
    # shellcheck disable=SC2086 # words on purpose
    install() { $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages; }
    # An old package list often suffices; a fresh one costs time and a network.
    if install > /dev/null 2>&1 || { $root apt-get update -q > /dev/null && install >&2; }; then exit 0; fi
    echo "apt-get could not install:$packages" >&2
  fi
fi

printf 'missing, the tests that need them are skipped:\n%s' "$missing" >&2
[ "$strict" = no ]
