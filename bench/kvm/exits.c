/*
 * The least that a user-space hypervisor does: one vCPU, without end. What bench/kvm/run.ts holds Trapframe's exits against.
 *
 *   exits IMAGE      what goes to port 0x3f8 goes to standard output
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) fail("/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  uint8_t *ram = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  FILE *image = fopen(argv[1], "rb");
  if (vm < 0 || ram == MAP_FAILED || !image || !fread(ram, 1, 1 << 16, image)) fail("setup");
  struct kvm_userspace_memory_region region = { 0, 0, 0, 1 << 16, (uintptr_t)ram };
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) fail("memory");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = 0x1000;
  sregs.cs.selector = 0x100;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = { .rip = 0, .rflags = 2 };
  ioctl(vcpu, KVM_SET_REGS, &regs);
  uint32_t last = 0;
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0)) {
      if (errno != EINTR) fail("KVM_RUN");
      continue; /* stopped and continued */
    }
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
      memcpy(&last, (uint8_t *)run + run->io.data_offset, run->io.size);
      if (run->io.port == 0x3f8 && write(1, &last, 1) != 1) fail("write");
      break;
    case KVM_EXIT_MMIO:
      if (run->mmio.is_write) memcpy(&last, run->mmio.data, run->mmio.len);
      else memset(run->mmio.data, 0, 8);
      break;
    default:
      fprintf(stderr, "exit %u\n", run->exit_reason);
      return 1;
    }
  }
}
