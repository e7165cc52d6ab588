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
 * that failed, its status N leaves through a device: the virt board's test
 * device takes (N << 16) | 0x3333 (SiFive's "test finisher"), and a PC's
 * `isa-debug-exit` a byte (`exit-program.ts`), which makes the exit code
 * 2 N + 1, so that N is at most 127 there.
 */
export const initScript = `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root USER=root TERM=vt102
busybox mount -a # /etc/fstab; every other line up to the shell is a builtin: starting a program takes longest here
echo trapframe > /proc/sys/kernel/hostname
rows= cols= exec= word=
read -r words < /proc/cmdline
for word in $words; do
  case $word in
    trapframe.rows=*) rows=\${word#*=} ;;
    trapframe.cols=*) cols=\${word#*=} ;;
    trapframe.term=*) TERM=\${word#*=} ;;
    trapframe.exec=*) exec=\${word#*=} ;;
  esac
done
cd /root
if [ -n "$exec" ]; then
  sh /etc/rc.late
  printf '%s' "$exec" | base64 -d > /tmp/exec
  sh /tmp/exec
  status=$?
  if [ $status != 0 ]; then
    if [ -x /sbin/machine-exit ]; then
      [ $status -lt 128 ] || status=127
      machine-exit "$(printf "\\\\$(printf %o $status).")"
    else
      devmem 0x100000 32 $((status << 16 | 0x3333))
    fi
  fi
  poweroff -f
fi
read -r consoles < /sys/class/tty/console/active
console=/dev/\${consoles##* }
[ -n "$rows$cols" ] && stty rows "\${rows:-24}" cols "\${cols:-80}" < "$console"
echo 4 > /proc/sys/kernel/printk # no kernel messages in the middle of the user's typing
{ sleep 1; sh /etc/rc.late; } < /dev/null &
while IFS= read -r line; do echo "$line"; done < /etc/motd
setsid -c sh -l < "$console" > "$console" 2>&1 # a session with a terminal of its own: Ctrl-C and jobs work
poweroff -f
`;

/** What nobody waits for at the first prompt. The shell finds busybox's programs without their links. */
export const lateScript = `mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
busybox --install -s
`;

export const fstab = `proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
devtmpfs /dev devtmpfs defaults 0 0
`;

/** Shown before the first prompt. */
export const banner = `
Linux on Trapframe. This is busybox's shell; try "cat /proc/cpuinfo" or "top".
  poweroff  ends the machine                       Ctrl-a x  leaves at once
  resize    after the window has changed its size  Ctrl-a h  lists more keys

`;

export const profile = `# Without -f these ask init, which is a script here.
alias poweroff='poweroff -f' reboot='reboot -f' halt='halt -f'
PS1='\\[\\e[1m\\]\\u@\\h\\[\\e[0m\\]:\\w# '
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
