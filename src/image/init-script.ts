/**
 * The first program of the small guest: a busybox shell script that brings up
 * /proc, /sys and /dev and hands the console to a shell, or runs one command
 * and powers off.
 *
 * What it reads from the kernel command line:
 *   trapframe.rows=N trapframe.cols=N   size of the terminal
 *   trapframe.exec=BASE64               run this, then power off
 *
 * `poweroff` and the end of the shell switch the machine off. After a command
 * that failed with status N, the machine's exit code is N: the virt board's
 * test device takes (N << 16) | 0x3333 (SiFive's "test finisher").
 */
export const initScript = `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root USER=root TERM=vt102
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox --install -s
hostname trapframe
rows= cols= exec=
for word in $(cat /proc/cmdline); do
  case $word in
    trapframe.rows=*) rows=\${word#*=} ;;
    trapframe.cols=*) cols=\${word#*=} ;;
    trapframe.term=*) TERM=\${word#*=} ;;
    trapframe.exec=*) exec=\${word#*=} ;;
  esac
done
cd /root
if [ -n "$exec" ]; then
  printf '%s' "$exec" | base64 -d > /tmp/exec
  sh /tmp/exec
  status=$?
  [ $status = 0 ] || devmem 0x100000 32 $((status << 16 | 0x3333))
  poweroff -f
fi
[ -n "$rows$cols" ] && stty rows "\${rows:-24}" cols "\${cols:-80}"
cat /etc/motd
setsid cttyhack sh -l
poweroff -f
`;

/** Shown before the first prompt. */
export const banner = `
Linux runs on Trapframe. This is busybox's shell: try  cat /proc/cpuinfo  or  top
  poweroff     ends the machine        Ctrl-a x    leaves at once
  resize       after the window changed its size      Ctrl-a h    more keys

`;

export const profile = `PS1='\\[\\e[1m\\]\\u@\\h\\[\\e[0m\\]:\\w# '
resize() {
  # The terminal says where the lower right corner is.
  local old row column
  old=$(stty -g)
  stty raw -echo min 0 time 5
  printf '\\033[s\\033[999;999H\\033[6n\\033[u' > /dev/tty
  IFS='[;' read -r -d R _ row column < /dev/tty
  stty "$old"
  [ -n "$row" ] && [ -n "$column" ] && stty rows "$row" cols "$column"
}
`;
